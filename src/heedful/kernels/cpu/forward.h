// Forward: tiles of queries against blocks of keys, softmax online (Dao et al. 2022, arXiv:2205.14135).
#pragma once
#include "softmax.h"
#include "threads.h"

constexpr long BLOCK = MOST_COLUMNS;  // keys at a time, at most
constexpr long QUERIES = 128;  // at most, of one tile
constexpr long GROUP = 4 * ROWS;  // queries at a time: their scores of a block stay there as well

inline int vectors_of(long columns) { return int(std::min<long>((columns + W - 1) / W, PANEL)); }

template <class T>
inline const T* row_of(const char* tensor, const int64_t (&stride)[3], long b, long h, long i) {
  return (const T*)tensor + b * stride[0] + h * stride[1] + i * stride[2];
}

template <class T>
inline T* row_of(char* tensor, const int64_t (&stride)[3], long b, long h, long i) {
  return (T*)tensor + b * stride[0] + h * stride[1] + i * stride[2];
}

// Queries of a tile: no tile crosses a border of the grid where that can be had.
inline long tile_of(const Call& c) {
  if (!c.grid || c.block >= c.queries) return QUERIES;
  if (c.block >= QUERIES) return c.block % QUERIES && c.block <= 2 * QUERIES ? c.block : QUERIES;
  return QUERIES / c.block * c.block;
}

// Keys of a block: as for queries.
inline long block_of(const Call& c) {
  return c.grid && c.block % WIDTH == 0 ? std::min<long>(c.block, BLOCK) : BLOCK;
}

// `sound`: the sum of x - x over all that was written, which is 0 for numbers and NaN for others.
inline void note(const Call& c, vec sound) {
  if (sum_of(sound) != 0) __atomic_store_n(&c.spoilt, int64_t(1), __ATOMIC_RELAXED);
}

constexpr float ones[ROWS] = {1, 1, 1, 1, 1, 1};  // sums that are kept as they are

template <class M, class T>
struct Forward {
  const Call& c;
  const long dim_steps, key_columns, value_steps, tile, tiles, block, group;
  const Columns values;
  const bool values_as_they_are;  // floats in whole vectors need no other layout

  explicit Forward(const Call& c)
      : c(c), dim_steps(steps_of<M>(c.dim)), key_columns(padded(c.keys, WIDTH)),
        value_steps(key_columns / M::STEP), tile(tile_of(c)), tiles((c.queries + tile - 1) / tile), block(block_of(c)),
        group(c.heads / c.kv_heads), values(c.value_dim),
        values_as_they_are(M::STEP == 1 && sizeof(T) == 4 && c.value_dim % W == 0) {}

  struct Laid {
    const Cell *keys, *values;
  };

  size_t key_cells() const { return key_columns * dim_steps; }
  size_t value_cells() const { return values_as_they_are ? 0 : value_steps * values.padded(); }
  size_t laid_bytes() const { return padded(4 * key_cells(), 64) + padded(4 * value_cells(), 64); }

  size_t tile_bytes() const {
    return 4 * (padded(tile * dim_steps, 16) + tile * values.padded() + 2 * padded(tile, 16) + 2 * GROUP * (BLOCK + 1)) + 64 * 8;
  }

  Laid lay(long b, long h, Cell* keys, Cell* laid_values) const {
    lay_columns<M>(row_of<T>(c.key, c.key_stride, b, h, 0), c.key_stride[2], c.keys, c.dim, keys);
    const T* value = row_of<T>(c.value, c.value_stride, b, h, 0);
    if (values_as_they_are) return {keys, (const Cell*)value};
    lay_steps<M>(value, c.value_stride[2], existing_keys(c, b), c.value_dim, value_steps, laid_values);
    return {keys, laid_values};
  }

  Right value_panel(const Laid& laid, int p, long j) const {
    if (values_as_they_are) return {laid.values + j * c.value_stride[2] + values.first(p) * W, c.value_stride[2]};
    const long wide = long(values.count(p)) * W;
    return {laid.values + value_steps * values.first(p) * W + j / M::STEP * wide, wide};
  }

  void run_tile(const Laid& laid, long b, long h, long i0, Arena& arena) const {
    const long rows = std::min(tile, c.queries - i0), wide = values.padded();
    Cell* query = arena.take<Cell>(rows * dim_steps);
    float* sums = arena.take<float>(rows * wide);
    Running run{arena.take<float>(rows), arena.take<float>(rows), arena.take<float>(GROUP)};
    float* scores = arena.take<float>(GROUP * BLOCK);
    Cell* weights = arena.take<Cell>(GROUP * BLOCK);
    lay_rows<M>(row_of<T>(c.query, c.query_stride, b, h, i0), c.query_stride[2], rows, c.dim, query);
    std::fill(sums, sums + rows * wide, 0.0f);
    std::fill(run.most, run.most + rows, -INFINITY);
    std::fill(run.total, run.total + rows, 0.0f);
    for (long j0 = 0; j0 < key_columns; j0 += block) {
      const Tile whole{b, h, i0, i0 + rows, j0, std::min(j0 + block, padded(c.keys, LOT))};
      const Seen seen = look(c, whole);
      if (seen == Seen::none) continue;
      for (long r = 0; r < rows; r += GROUP) {
        Tile t = whole;
        t.i0 = i0 + r;
        t.i1 = std::min(t.i0 + GROUP, i0 + rows);
        Seen here = seen;
        if (seen == Seen::some) {
          narrow(c, t);
          if (t.j0 >= t.j1) continue;
          t.j0 = t.j0 / WIDTH * WIDTH;
          t.j1 = padded(t.j1, LOT);
          here = look(c, t);
          if (here == Seen::none) continue;
        }
        run_group(laid, t, here, query + r * dim_steps, scores, weights,
                 {run.most + r, run.total + r, run.keep}, sums + r * wide);
      }
    }
    finish(b, h, i0, rows, sums, run);
  }

  void run_group(const Laid& laid, const Tile& t, Seen seen, const Cell* query, float* scores, Cell* weights,
                const Running& run, float* sums) const {
    const long rows = t.i1 - t.i0, columns = t.j1 - t.j0, wide = values.padded();
    const long there = std::min(columns, last_key(c, t) - t.j0);  // what lies beyond is hidden below
    for (long k = 0; k < there; k += WIDTH)
      for (long r = 0; r < rows; r += ROWS)
        multiply<M>(rows - r, vectors_of(there - k), {query + r * dim_steps, dim_steps, 1}, {laid.keys + (t.j0 + k) * dim_steps, WIDTH},
                    dim_steps, {scores + r * BLOCK + k, BLOCK, nullptr});
    alignas(64) uint8_t any[MOST_COLUMNS];
    const float factor = finish_scores(c, t, seen, scores, BLOCK, any);
    weigh<M>(scores, BLOCK, rows, columns, factor, run, weights);
    bool added = false;
    for (long first = 0, end = 0; next_run<M>(any, there, first, end); added = true)
      for (int p = 0; p < values.panels; p++)
        for (long r = 0; r < rows; r += ROWS)
          multiply<M>(rows - r, values.count(p), {weights + (r * BLOCK + first) / M::STEP, BLOCK / M::STEP, 1},
                      value_panel(laid, p, t.j0 + first), steps_of<M>(end - first),
                      {sums + r * wide + values.first(p) * W, wide, added ? ones : run.keep + r});
  }

  void finish(long b, long h, long i0, long rows, const float* sums, const Running& run) const {
    const long wide = values.padded();
    for (long r = 0; r < rows; r++) {
      const float total = run.total[r], share = total == 0 ? 0 : 1 / total;
      T* out = row_of<T>(c.output, c.output_stride, b, h, i0 + r);
      vec sound = {};
      for (long d = 0; d < c.value_dim; d += W) {
        const vec x = load(sums + r * wide + d) * share;
        sound += x - x;
        store_some(out + d, x, c.value_dim - d);
      }
      note(c, sound);
      if (c.log_sum)
        c.log_sum[(b * c.heads + h) * c.queries + i0 + r] = LN2 * (run.most[r] + std::log2(total));
    }
  }
};

// Small heads: one after the other, each laid out by the thread that reads it. Large or few ones:
// all are laid out first, then their tiles are shared out.
template <class M, class T>
void run_forward(const Call& c) {
  const Forward<M, T> f(c);
  const long heads = c.batch * c.kv_heads;
  const double work = double(c.batch) * c.heads * c.queries * c.keys * (c.dim + c.value_dim);
  const int threads = threads_for(heads * f.group * f.tiles, work);
  const long lot = std::max<long>(1, heads / (16 * threads));
  const bool own = f.tiles * f.group == 1 || heads >= 4 * threads;
  static thread_local Arena shared;
  Cell* laid = nullptr;
  const size_t each = f.laid_bytes() / 4, keys = padded(f.key_cells(), 16);
  if (!own) {
    shared.reserve(heads * f.laid_bytes());
    laid = shared.take<Cell>(heads * each);
  }
#pragma omp parallel num_threads(threads)
  {
    static thread_local Arena arena;
    if (own) {
#pragma omp for schedule(dynamic, lot)
      for (long x = 0; x < heads; x++) {
        arena.reserve(f.laid_bytes() + f.tile_bytes());
        Cell* at = arena.take<Cell>(each);
        const auto mine = f.lay(x / c.kv_heads, x % c.kv_heads, at, at + keys);
        const size_t mark = arena.mark();
        for (long y = 0; y < f.group * f.tiles; y++) {
          arena.back_to(mark);
          f.run_tile(mine, x / c.kv_heads, x % c.kv_heads * f.group + y / f.tiles, y % f.tiles * f.tile, arena);
        }
      }
    } else {
#pragma omp for schedule(dynamic)
      for (long x = 0; x < heads; x++) f.lay(x / c.kv_heads, x % c.kv_heads, laid + x * each, laid + x * each + keys);
#pragma omp for schedule(dynamic)
      for (long y = 0; y < c.batch * c.heads * f.tiles; y++) {
        const long head = y / f.tiles, b = head / c.heads, h = head % c.heads, x = b * c.kv_heads + h / f.group;
        arena.reserve(f.tile_bytes());
        Cell* at = laid + x * each;
        const typename Forward<M, T>::Laid mine{
            at, f.values_as_they_are ? (const Cell*)row_of<T>(c.value, c.value_stride, b, h / f.group, 0) : at + keys};
        // the last tiles first: under a causal mask they have most to do
        f.run_tile(mine, b, h, (f.tiles - 1 - y % f.tiles) * f.tile, arena);
      }
    }
    arena.release_if_large();
  }
  shared.release_if_large();
}
