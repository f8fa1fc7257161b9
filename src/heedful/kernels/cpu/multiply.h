// The one matrix product behind all others: a tile of at most ROWS x PANEL sums in registers.
#pragma once
#include "vector.h"

struct Single {  // a cell is one float
  typedef Fine Precision;
  static constexpr int STEP = 1;  // items that one cell holds
  static vec add(vec sum, vec a, vec b) { return a * b + sum; }
};

#if defined(__AVX512BF16__)
struct Pair {  // a cell is two bf16, which are multiplied and added in one step
  typedef Coarse Precision;
  static constexpr int STEP = 2;
  static vec add(vec sum, vec a, vec b) {
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
  }
};
#endif

struct Left {  // cell of row r at step t: at[r * row + t * step]
  const Cell* at;
  long row, step;
};

struct Right {  // PANEL or fewer vectors side by side at step t: at[t * step]
  const Cell* at;
  long step;
};

struct Sums {
  float* at;
  long row;
  const float* keep;  // factor of what stands in a row already; null: nothing stands there
};

template <class M, int R, int V>
void multiply_tile(const Left& left, const Right& right, long steps, const Sums& sums) {
  vec sum[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sum[r][v] = vec{};
  const Cell *a = left.at, *b = right.at;
  const long row = left.row, a_step = left.step, b_step = right.step;
  for (long t = 0; t < steps; t++, a += a_step, b += b_step) {
    vec x[V];
    for (int v = 0; v < V; v++) x[v] = load((const float*)b + v * W);
    for (int r = 0; r < R; r++) {
      vec y = (vec)(uvec{} + a[r * row]);
      for (int v = 0; v < V; v++) sum[r][v] = M::add(sum[r][v], y, x[v]);
    }
  }
  // what stands there comes last: a long sum of short sums loses less than one long sum
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) {
      float* at = sums.at + r * sums.row + v * W;
      store(at, sums.keep ? load(at) * sums.keep[r] + sum[r][v] : sum[r][v]);
    }
}

typedef void (*Multiply)(const Left&, const Right&, long, const Sums&);

template <class M, int R>
constexpr Multiply multiply_of(int vectors) {
#if defined(__AVX512F__)
  constexpr Multiply by[] = {multiply_tile<M, R, 1>, multiply_tile<M, R, 2>, multiply_tile<M, R, 3>, multiply_tile<M, R, 4>};
#else
  constexpr Multiply by[] = {multiply_tile<M, R, 1>, multiply_tile<M, R, 2>};
#endif
  return by[vectors - 1];
}

// rows: of those left, at most ROWS are done; vectors: 1 to PANEL
template <class M>
inline void multiply(long rows, int vectors, const Left& left, const Right& right, long steps, const Sums& sums) {
  Multiply run = nullptr;
  switch (rows) {
    case 1: run = multiply_of<M, 1>(vectors); break;
    case 2: run = multiply_of<M, 2>(vectors); break;
    case 3: run = multiply_of<M, 3>(vectors); break;
    case 4: run = multiply_of<M, 4>(vectors); break;
    case 5: run = multiply_of<M, 5>(vectors); break;
    default: run = multiply_of<M, 6>(vectors);
  }
  run(left, right, steps, sums);
}

// How columns are shared among panels: `vectors` in all, in panels of nearly equal width.
struct Columns {
  int vectors, panels;
  explicit Columns(long columns) : vectors(int((columns + W - 1) / W)), panels((vectors + PANEL - 1) / PANEL) {}
  int first(int panel) const { return panel * vectors / panels; }
  int count(int panel) const { return first(panel + 1) - first(panel); }
  long padded() const { return long(vectors) * W; }
};
