// A linear layer: its weight is laid once, for one row as well as for many. Nobody's sums depend on who
// else is in the batch.
#pragma once
#include "../cpu/whole.h"
#include "network.h"

constexpr float LEAST = 1.17549435e-38f;  // of what divides

class Linear {
 public:
  long ins = 0, outs = 0;

  // In 8 bits or in full; then parts that read the same, one below the other.
  void read(Reader& from) {
    low_ = from.whole();
    ins = from.whole();
    const long parts = from.whole();
    std::vector<const float*> rows;
    for (long p = 0; p < parts; p++) {
      const long count = from.whole();
      const float *weight = from.floats(count * ins), *bias = from.floats(count);
      for (long r = 0; r < count; r++) {
        rows.push_back(weight + r * ins);
        bias_.push_back(bias ? bias[r] : 0);
      }
    }
    outs = long(rows.size());
    bias_.resize(padded(outs, W));
    if (low_) return lay_low(rows);
    lay<Single>([&](long r, long i) {
      Cell cell;
      memcpy(&cell, rows[r] + i, 4);
      return cell;
    });
  }

  // Rows of `to` are padded(outs, W) apart, and all of that is written.
  void times(const float* x, long apart, long rows, float* to, Scratch& scratch) const {
    const long wide = padded(outs, W);
    if (!low_) {
      multiply_all<Single>((const Cell*)x, apart, rows, to);
      for (long r = 0; r < rows; r++)
        for (long c = 0; c < wide; c += W) store(to + r * wide + c, load(to + r * wide + c) + load(&bias_[c]));
      return;
    }
    const long row = padded(ins, ALIKE) / Whole::STEP;
    scratch.low.resize(std::max<size_t>(scratch.low.size(), rows * row));
    scratch.sizes.resize(std::max<size_t>(scratch.sizes.size(), rows));
    for (long r = 0; r < rows; r++)
      scratch.sizes[r] = lower(x + r * apart, ins, (Whole::Item*)&scratch.low[r * row]);
    multiply_all<Whole>(scratch.low.data(), row, rows, to);
    for (long r = 0; r < rows; r++)
      for (long c = 0; c < wide; c += W) {
        const ivec sum = (ivec)load(to + r * wide + c) - (ivec)load((const float*)&middles_[c]);
        store(to + r * wide + c, __builtin_convertvector(sum, vec) * load(&steps_[c]) * scratch.sizes[r] + load(&bias_[c]));
      }
  }

 private:
  bool low_ = false;
  std::vector<Cell> cells_;  // [panel][step][its columns]
  Floats bias_, steps_;
  std::vector<int32_t> middles_;

  template <class M, class Make>
  void lay(Make make) {
    const Columns columns(outs);
    const long steps = steps_of<M>(ins);
    cells_.resize(steps * columns.padded());
    Cell* to = cells_.data();
    for (int p = 0; p < columns.panels; p++)
      for (long s = 0; s < steps; s++)
        for (long c = 0; c < columns.count(p) * W; c++) {
          const long r = columns.first(p) * W + c;
          *to++ = r < outs ? make(r, s) : 0;
        }
  }

  void lay_low(const std::vector<const float*>& rows) {
    steps_.resize(padded(outs, W));
    middles_.resize(padded(outs, W));
    std::vector<int8_t> whole(outs * ins);
    for (long r = 0; r < outs; r++) {
      float most = LEAST;
      for (long i = 0; i < ins; i++) most = std::max(most, std::fabs(rows[r][i]));
      const float step = most / LARGEST;
      for (long i = 0; i < ins; i++) {
        const int w = int(std::nearbyint(rows[r][i] / step));
        whole[r * ins + i] = int8_t(w);
        middles_[r] += Whole::MIDDLE * w;
      }
      steps_[r] = step * (1 / LARGEST);
    }
    const long row = padded(ins, ALIKE) / Whole::STEP;
    std::vector<Cell> made(outs * row);
    for (long r = 0; r < outs; r++)
      for (long s = 0; s < row; s += W)
        store((float*)&made[r * row + s], cells_of(&whole[r * ins], s * Whole::STEP, ins));
    lay<Whole>([&](long r, long s) { return made[r * row + s]; });
  }

  template <class M>
  void multiply_all(const Cell* x, long apart, long rows, float* to) const {
    const Columns columns(outs);
    const long steps = steps_of<M>(ins), wide = columns.padded(), lots = (rows + ROWS - 1) / ROWS;
    for (int p = 0; p < columns.panels; p++) {
      const Right right{cells_.data() + steps * columns.first(p) * W, columns.count(p) * W};
      for (long lot = 0; lot < lots; lot++) {
        const long r = lot * rows / lots, next = (lot + 1) * rows / lots;
        multiply<M>(next - r, columns.count(p), {x + r * apart, apart, 1}, right, steps,
                    {to + r * wide + columns.first(p) * W, wide, nullptr});
      }
    }
  }
};
