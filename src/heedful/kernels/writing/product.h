// A linear layer: its weight is laid once, for one row as well as for many. Nobody's sums depend on who
// else is in the batch.
#pragma once
#include "network.h"

struct Quad {  // a cell is four whole numbers of 8 bits, those of the left without a sign
  static constexpr int STEP = 4;
  static vec add(vec sum, vec a, vec b) {
#if defined(__AVX512VNNI__)
    return (vec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__) && !defined(__AVX512F__)
    // the first and third of each four, then the others: 16 bits hold each number, 32 the two products
    const __m256i left = (__m256i)a, right = (__m256i)b;
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(left, 8), _mm256_srai_epi16(right, 8));
    const __m256i even = _mm256_madd_epi16(
        _mm256_and_si256(left, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(right, 8), 8));
    return (vec)_mm256_add_epi32((__m256i)sum, _mm256_add_epi32(odd, even));
#else
    ivec total = (ivec)sum;
    for (int shift = 0; shift < 32; shift += 8)
      total += (ivec)((uvec)a >> shift & 255) * ((ivec)((uvec)b << (24 - shift)) >> 24);
    return (vec)total;
#endif
  }
};

constexpr float LARGEST = 127, SMALLEST = 1e-30f, LEAST = 1.17549435e-38f;
constexpr int MIDDLE = 128;  // what stands for 0 among numbers without a sign

// Four numbers of 8 bits in each lane, of rows whose numbers lie in [-scale, scale].
inline uvec lowered(const float* x, long left, float factor) {
  alignas(64) uint8_t bytes[4 * W];
  for (int k = 0; k < 4; k++) {
    const vec magic = spread(12582912.0f);  // 1.5 * 2^23: what is added to it is rounded to a whole
    const vec rounded = load_some(x + k * W, left - k * W) * factor + magic;
    const ivec each = (ivec)rounded - (ivec)magic + MIDDLE;
#if defined(__AVX512F__)
    _mm_store_si128((__m128i*)(bytes + k * W), _mm512_cvtepi32_epi8((__m512i)each));
#elif defined(__AVX2__)
    const __m128i low = _mm256_castsi256_si128((__m256i)each), high = _mm256_extracti128_si256((__m256i)each, 1);
    const __m128i shorts = _mm_packs_epi32(low, high);
    _mm_storel_epi64((__m128i*)(bytes + k * W), _mm_packus_epi16(shorts, shorts));
#else
    for (int i = 0; i < W; i++) bytes[k * W + i] = uint8_t(each[i]);
#endif
  }
  uvec cells;
  memcpy(&cells, bytes, sizeof cells);
  return cells;
}

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
    const long steps = steps_of<Quad>(ins), row = padded(steps, W);
    scratch.low.resize(std::max<size_t>(scratch.low.size(), rows * row));
    scratch.sizes.resize(std::max<size_t>(scratch.sizes.size(), rows));
    for (long r = 0; r < rows; r++) scratch.sizes[r] = lower(x + r * apart, &scratch.low[r * row]);
    multiply_all<Quad>(scratch.low.data(), row, rows, to);
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
        middles_[r] += MIDDLE * w;
      }
      steps_[r] = step * (1 / LARGEST);
    }
    lay<Quad>([&](long r, long s) {
      Cell cell = 0;
      for (long i = 4 * s; i < std::min(4 * s + 4, ins); i++) cell |= Cell(uint8_t(whole[r * ins + i])) << 8 * (i % 4);
      return cell;
    });
  }

  // One row in 8 bits; returns its largest size, or NaN where not all is finite.
  float lower(const float* x, Cell* to) const {
    vec most = spread(SMALLEST), sound = {};
    for (long i = 0; i < ins; i += W) {
      const vec v = load_some(x + i, ins - i);
      most = larger(most, larger(v, -v));
      sound += v - v;
    }
    const float size = largest_of(most), wrong = sum_of(sound);
    for (long i = 0; i < ins; i += 4 * W) store((float*)(to + i / 4), (vec)lowered(x + i, ins - i, wrong == 0 ? LARGEST / size : 0));
    return wrong == 0 ? size : wrong;
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
