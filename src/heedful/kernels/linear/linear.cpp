// A linear layer whose weight is whole numbers of 8 bits, from floats to floats. The weight is read as it
// is stored, row by row, and laid out for the product while it is used: nothing else is kept of it.
#include <cstdlib>
#include <new>
#include "../cpu/threads.h"
#include "../cpu/whole.h"
#include "curves.h"

namespace {

constexpr long TOGETHER = 512;    // rows, in whose products the laying out of a weight is lost
constexpr long FEW = 4;           // rows, up to which a weight is multiplied as it lies
constexpr long LAID = 96 << 10;   // bytes of a weight laid out at a time: they stay in the second cache
constexpr long MOST = 16;         // panels at a time
// rows of a register tile: with two steps for a product, one more register is needed than AVX2 has
constexpr long TILE = W == 8 ? 4 : ROWS;

struct Layer {
  const int8_t* weight;
  const float *steps, *bias;
  long ins, outs;
  Curve curve;
};

struct Rows {
  const Whole::Item* items;
  const float* sizes;
  long count, apart;
};

// From sums of whole numbers to what the layer gives: W columns from c on, of one row.
inline void finish(const Layer& layer, ivec sum, float size, long c, float* to) {
  const long left = layer.outs - c;
  vec y = __builtin_convertvector(sum, vec) * (load_some(layer.steps + c, left) * (size / LARGEST));
  if (layer.bias) y += load_some(layer.bias + c, left);
  store_some(to + c, curved(y, layer.curve), left);
}

// By what all numbers of the left are too large, times those of W rows of the weight.
inline ivec middles_of(const Layer& layer, long c) {
  ivec all = {};
  if (Whole::MIDDLE)
    for (long k = 0; k < W && c + k < layer.outs; k++) {
      int32_t sum = 0;
      for (long i = 0; i < layer.ins; i++) sum += layer.weight[(c + k) * layer.ins + i];
      all[k] = Whole::MIDDLE * sum;
    }
  return all;
}

// Rows of the weight from `first` on become columns: to[step][its columns].
void lay(const Layer& layer, long first, int vectors, Cell* to) {
  const long steps = steps_of<Whole>(layer.ins);
  for (int v = 0; v < vectors; v++)
    for (long s = 0; s < steps; s += W) {
      vec x[W];
      for (int k = 0; k < W; k++) {
        const long r = first + v * W + k;
        x[k] = r < layer.outs ? cells_of(layer.weight + r * layer.ins, s * Whole::STEP, layer.ins) : vec{};
      }
      transpose(x);
      for (int k = 0; k < W && s + k < steps; k++) store((float*)to + ((s + k) * vectors + v) * W, x[k]);
    }
}

// Some panels of columns for all rows.
void many(const Layer& layer, const Rows& rows, const Columns& columns, int panel, int end, Cell* cells, float* to) {
  const long steps = steps_of<Whole>(layer.ins);
  const int from = columns.first(panel);
  ivec middles[MOST * PANEL];
  for (int p = panel; p < end; p++) {
    lay(layer, long(columns.first(p)) * W, columns.count(p), cells + steps * (columns.first(p) - from) * W);
    for (int v = columns.first(p); v < columns.first(p + 1); v++) middles[v - from] = middles_of(layer, long(v) * W);
  }
  const long lots = (rows.count + TILE - 1) / TILE;
  alignas(64) float sums[TILE * WIDTH];
  for (long lot = 0; lot < lots; lot++) {
    const long r = lot * rows.count / lots, next = (lot + 1) * rows.count / lots;
    for (int p = panel; p < end; p++) {
      const int first = columns.first(p), count = columns.count(p);
      const Left left{(const Cell*)(rows.items + r * rows.apart), rows.apart / Whole::STEP, 1};
      const Right right{cells + steps * (first - from) * W, long(count) * W};
      multiply<Whole>(next - r, count, left, right, steps, {sums, WIDTH, nullptr});
      for (long k = r; k < next; k++)
        for (int v = 0; v < count; v++) {
          const ivec sum = (ivec)load(sums + (k - r) * WIDTH + v * W) - middles[first + v - from];
          finish(layer, sum, rows.sizes[k], long(first + v) * W, to + k * layer.outs);
        }
    }
  }
}

// W columns for a few rows: the weight is read once, where it lies.
void few(const Layer& layer, const Rows& rows, long c, float* to) {
  ivec sums[FEW] = {};
  for (long k = 0; k < W && c + k < layer.outs; k++) {
    vec sum[FEW] = {};
    const int8_t* w = layer.weight + (c + k) * layer.ins;
    for (long i = 0; i < layer.ins; i += ALIKE) {
      const vec cells = cells_of(w, i, layer.ins);
      for (long r = 0; r < rows.count; r++)
        sum[r] = Whole::add(sum[r], load((const float*)(rows.items + r * rows.apart + i)), cells);
    }
    for (long r = 0; r < rows.count; r++)
      for (int lane = 0; lane < W; lane++) sums[r][k] += ((ivec)sum[r])[lane];
  }
  const ivec middles = middles_of(layer, c);
  for (long r = 0; r < rows.count; r++) finish(layer, sums[r] - middles, rows.sizes[r], c, to + r * layer.outs);
}

thread_local Arena arena, panels;

void times(const Layer& layer, const float* x, long count, float* to) {
  const long apart = padded(layer.ins, ALIKE), steps = steps_of<Whole>(layer.ins);
  arena.reserve(padded(count * apart * sizeof(Whole::Item), 64) + padded(count * 4, 64));
  Whole::Item* items = arena.take<Whole::Item>(count * apart);
  float* sizes = arena.take<float>(count);
  const double work = double(count) * layer.ins * layer.outs;
#pragma omp parallel for num_threads(threads_for(count, work))
  for (long r = 0; r < count; r++) sizes[r] = lower(x + r * layer.ins, layer.ins, items + r * apart);
  const Rows rows{items, sizes, count, apart};
  if (count <= FEW) {
    const long lots = (layer.outs + W - 1) / W;
#pragma omp parallel for num_threads(threads_for(lots, work))
    for (long lot = 0; lot < lots; lot++) few(layer, rows, lot * W, to);
    return;
  }
  const Columns columns(layer.outs);
  const long wide = std::max<long>(1, std::min<long>(MOST, LAID / (steps * 4 * WIDTH)));
  const int threads = threads_for(columns.panels, work);
  const long parts = std::max<long>((columns.panels + wide - 1) / wide, threads);
  bool full = false;
#pragma omp parallel for num_threads(threads) reduction(|| : full)
  for (long part = 0; part < parts; part++) {
    const int first = int(part * columns.panels / parts), end = int((part + 1) * columns.panels / parts);
    try {
      panels.reserve(size_t(columns.first(end) - columns.first(first)) * W * steps * 4);
      many(layer, rows, columns, first, end, panels.take<Cell>(size_t(columns.first(end) - columns.first(first)) * W * steps), to);
    } catch (const std::bad_alloc&) {
      full = true;
    }
  }
  if (full) throw std::bad_alloc();
  arena.release_if_large();
}

}  // namespace

// 0: done; 2: no memory.
extern "C" int64_t heedful_linear(const float* x, int64_t rows, const int8_t* weight, const float* steps, const float* bias,
                                  int64_t ins, int64_t outs, int64_t curve, float* to) {
  const Layer layer{weight, steps, bias, ins, outs, Curve(curve)};
  try {
    for (long r = 0; r < rows; r += TOGETHER) times(layer, x + r * ins, std::min<long>(TOGETHER, rows - r), to + r * outs);
  } catch (const std::bad_alloc&) {
    return 2;
  }
  return 0;
}
