// Backward: weights are computed again from the logarithm of their sum, so no matrix is stored
// (Dao et al. 2022, arXiv:2205.14135, appendix B.4). Every sum has one order, whatever the threads.
#pragma once
#include "forward.h"

constexpr long BACK_BLOCK = 128;  // keys at a time, at most
constexpr long APART = 16;        // cells between rows that are read across, against cache conflicts

template <class M, class T>
struct Backward {
  const Call& c;
  const Columns dims, values;
  const long dim_steps, value_dim_steps, tile, block, group, query_steps, split, splits;

  static long even_tile(const Call& c) { return tile_of(c) % 2 ? QUERIES : tile_of(c); }

  // Few heads with many keys: their keys are shared out as well. Not by the number of threads, so
  // that the order of sums does not depend on it.
  static long splits_of(const Call& c) {
    const long wanted = (15 + c.batch * c.kv_heads) / (c.batch * c.kv_heads);
    return std::max<long>(1, std::min(wanted, c.keys / 512));
  }

  explicit Backward(const Call& c)
      : c(c), dims(c.dim), values(c.value_dim), dim_steps(steps_of<M>(c.dim)),
        value_dim_steps(steps_of<M>(c.value_dim)), tile(even_tile(c)),
        block(std::min<long>(block_of(c), BACK_BLOCK)), group(c.heads / c.kv_heads),
        query_steps(steps_of<M>(c.queries)), split(padded((c.keys + splits_of(c) - 1) / splits_of(c), block)),
        splits((c.keys + split - 1) / split) {}

  long items() const { return c.batch * c.kv_heads * splits; }
  size_t query_sums() const { return padded(c.queries * dims.padded(), 16); }

  struct Keys {  // of one item: layouts, and the sums of their gradients
    Cell *columns, *steps, *values;
    float *by_key, *by_value;
  };
  struct Queries {  // of one head
    Cell *rows, *steps, *by_rows, *by_steps;
    float *log_sum, *common;
  };
  struct Weights {  // of one tile: across (pairs of rows a cell) and along (pairs of keys a cell)
    float *scores, *by_weights;
    Cell *across, *by_across, *by_along;
  };

  long across_row() const { return block + APART; }
  long tile_steps() const { return steps_of<M>(tile); }

  size_t bytes() const {
    const long keys = padded(split, WIDTH);
    size_t cells = keys * dim_steps + steps_of<M>(keys) * dims.padded() + keys * value_dim_steps;
    cells += keys * (dims.padded() + values.padded());
    cells += c.queries * (dim_steps + value_dim_steps) + query_steps * (dims.padded() + values.padded());
    cells += 2 * c.queries + query_sums();
    cells += 2 * GROUP * block + 2 * tile_steps() * across_row() + tile * (block / M::STEP + APART);
    return 4 * cells + 64 * 32;
  }

  // Everything of one key/value head in one part of its keys.
  void run(long b, long hk, long part, float* split_sums, Arena& arena) const {
    const long k0 = part * split, k1 = std::min(c.keys, k0 + split), count = k1 - k0;
    const Keys keys = lay_keys(b, hk, k0, count, arena);
    const Queries queries{
        arena.take<Cell>(c.queries * dim_steps), arena.take<Cell>(query_steps * dims.padded()),
        arena.take<Cell>(c.queries * value_dim_steps), arena.take<Cell>(query_steps * values.padded()),
        arena.take<float>(c.queries), arena.take<float>(c.queries)};
    const Weights weights{
        arena.take<float>(GROUP * block), arena.take<float>(GROUP * block),
        arena.take<Cell>(tile_steps() * across_row()), arena.take<Cell>(tile_steps() * across_row()),
        arena.take<Cell>(tile * (block / M::STEP + APART))};
    float* own_sums = splits == 1 ? arena.take<float>(query_sums()) : nullptr;
    for (long h = hk * group; h < (hk + 1) * group; h++) {
      lay_queries(queries, b, h);
      float* sums = own_sums ? own_sums : split_sums + ((b * c.heads + h) * splits + part) * query_sums();
      std::fill(sums, sums + query_sums(), 0.0f);
      for (long j0 = k0; j0 < k1; j0 += block)
        for (long i0 = 0; i0 < c.queries; i0 += tile)
          run_tile(keys, queries, weights, sums,
                   {b, h, i0, std::min(i0 + tile, c.queries), j0, std::min(j0 + block, padded(k1, LOT))}, k0);
      if (own_sums) finish_queries(b, h, sums, 1);
    }
    for (long j = 0; j < count; j++) {
      T* by_key = row_of<T>(c.by_key, c.by_key_stride, b, hk, k0 + j);
      T* by_value = row_of<T>(c.by_value, c.by_value_stride, b, hk, k0 + j);
      vec sound = {};
      for (long d = 0; d < c.dim; d += W) {
        const vec x = load(keys.by_key + j * dims.padded() + d) * float(c.scale);
        sound += x - x;
        store_some(by_key + d, x, c.dim - d);
      }
      for (long d = 0; d < c.value_dim; d += W) {
        const vec x = load(keys.by_value + j * values.padded() + d);
        sound += x - x;
        store_some(by_value + d, x, c.value_dim - d);
      }
      note(c, sound);
    }
  }

  Keys lay_keys(long b, long hk, long k0, long count, Arena& arena) const {
    const long wide = padded(count, WIDTH);
    Keys keys{arena.take<Cell>(wide * dim_steps), arena.take<Cell>(steps_of<M>(wide) * dims.padded()),
              arena.take<Cell>(wide * value_dim_steps), arena.take<float>(wide * dims.padded()),
              arena.take<float>(wide * values.padded())};
    const T* key = row_of<T>(c.key, c.key_stride, b, hk, k0);
    lay_columns<M>(key, c.key_stride[2], count, c.dim, keys.columns);
    const long there = std::max<long>(0, std::min(count, existing_keys(c, b) - k0));
    lay_steps<M>(key, c.key_stride[2], there, c.dim, steps_of<M>(wide), keys.steps);
    lay_columns<M>(row_of<T>(c.value, c.value_stride, b, hk, k0), c.value_stride[2], there, c.value_dim, keys.values);
    std::fill(keys.by_key, keys.by_key + wide * dims.padded(), 0.0f);
    std::fill(keys.by_value, keys.by_value + wide * values.padded(), 0.0f);
    return keys;
  }

  void lay_queries(const Queries& q, long b, long h) const {
    const T* query = row_of<T>(c.query, c.query_stride, b, h, 0);
    const T* by_output = row_of<T>(c.by_output, c.by_output_stride, b, h, 0);
    lay_rows<M>(query, c.query_stride[2], c.queries, c.dim, q.rows);
    lay_steps<M>(query, c.query_stride[2], c.queries, c.dim, query_steps, q.steps);
    lay_rows<M>(by_output, c.by_output_stride[2], c.queries, c.value_dim, q.by_rows);
    lay_steps<M>(by_output, c.by_output_stride[2], c.queries, c.value_dim, query_steps, q.by_steps);
    for (long i = 0; i < c.queries; i++) {
      const float log_sum = c.log_sum[(b * c.heads + h) * c.queries + i];
      // a row that saw nothing: its scores are as far below this as can be, so its weights are 0
      q.log_sum[i] = log_sum == -INFINITY ? INFINITY : log_sum * LOG2E;
      const T* out = row_of<T>((const char*)c.output, c.output_stride, b, h, i);
      const T* by_out = by_output + i * c.by_output_stride[2];
      vec sum = {};
      for (long d = 0; d < c.value_dim; d += W) sum += load_some(out + d, c.value_dim - d) * load_some(by_out + d, c.value_dim - d);
      q.common[i] = sum_of(sum) - (c.by_log_sum ? c.by_log_sum[(b * c.heads + h) * c.queries + i] : 0);
    }
  }

  void run_tile(const Keys& keys, const Queries& q, const Weights& w, float* sums, const Tile& whole, long k0) const {
    const Seen seen = look(c, whole);
    if (seen == Seen::none) return;
    const long columns = last_key(c, whole) - whole.j0, j = whole.j0 - k0, rows = whole.i1 - whole.i0;
    for (long r = 0; r < rows; r += GROUP) {
      Tile t = whole;
      t.i0 = whole.i0 + r;
      t.i1 = std::min(t.i0 + GROUP, whole.i1);
      weigh_group(keys, q, w, t, seen == Seen::some ? look(c, t) : seen, r, j);
    }
    const long steps = steps_of<M>(rows), first = whole.i0 / M::STEP;
    add<M>(columns, values, {w.across, 1, across_row()}, q.by_steps, query_steps, first, steps, keys.by_value + j * values.padded());
    add<M>(columns, dims, {w.by_across, 1, across_row()}, q.steps, query_steps, first, steps, keys.by_key + j * dims.padded());
    const long key_steps = steps_of<M>(padded(std::min(split, c.keys - k0), WIDTH));
    add<M>(rows, dims, {w.by_along, block / M::STEP + APART, 1}, keys.steps, key_steps, j / M::STEP,
           steps_of<M>(columns), sums + whole.i0 * dims.padded());
  }

  // sums += left times the steps of `right` from `first` on
  template <class N>
  void add(long rows, const Columns& columns, const Left& left, const Cell* right, long all_steps, long first,
           long steps, float* sums) const {
    for (int p = 0; p < columns.panels; p++) {
      const long wide = long(columns.count(p)) * W, at = columns.first(p) * W;
      const Right panel{right + all_steps * at + first * wide, wide};
      for (long r = 0; r < rows; r += ROWS)
        multiply<N>(rows - r, columns.count(p), {left.at + r * left.row, left.row, left.step}, panel, steps,
                    {sums + r * columns.padded() + at, columns.padded(), ones});
    }
  }

  // Weights and the gradients of scores of some rows of a tile, r of them above.
  void weigh_group(const Keys& keys, const Queries& q, const Weights& w, const Tile& t, Seen seen, long r, long j) const {
    const long rows = t.i1 - t.i0, columns = t.j1 - t.j0, along = block / M::STEP + APART;
    Cell *across = w.across + r / M::STEP * across_row(), *by_across = w.by_across + r / M::STEP * across_row();
    Cell* by_along = w.by_along + r * along;
    if (seen == Seen::none) {
      for (long s = 0; s < steps_of<M>(rows); s++) {
        std::fill(across + s * across_row(), across + s * across_row() + columns, 0);
        std::fill(by_across + s * across_row(), by_across + s * across_row() + columns, 0);
      }
      for (long i = 0; i < rows; i++) std::fill(by_along + i * along, by_along + i * along + columns / M::STEP, 0);
      return;
    }
    const long there = std::min(columns, last_key(c, t) - t.j0);
    for (long k = 0; k < there; k += WIDTH)
      for (long i = 0; i < rows; i += ROWS) {
        multiply<M>(rows - i, vectors_of(there - k), {q.rows + (t.i0 + i) * dim_steps, dim_steps, 1},
                    {keys.columns + (j + k) * dim_steps, WIDTH}, dim_steps, {w.scores + i * block + k, block, nullptr});
        multiply<M>(rows - i, vectors_of(there - k), {q.by_rows + (t.i0 + i) * value_dim_steps, value_dim_steps, 1},
                    {keys.values + (j + k) * value_dim_steps, WIDTH}, value_dim_steps,
                    {w.by_weights + i * block + k, block, nullptr});
      }
    for (long k = padded(there, W); k < columns; k += W)  // hidden below, but not by a number
      for (long i = 0; i < rows; i++) store(w.by_weights + i * block + k, vec{});
    alignas(64) uint8_t any[MOST_COLUMNS];
    const float factor = finish_scores(c, t, seen, w.scores, block, any);
    for (long i = 0; i < rows; i += M::STEP) {
      const bool two = M::STEP == 2 && i + 1 < rows;
      for (long k = 0; k < columns; k += 2 * W) {
        vec p[2][2] = {}, s[2][2] = {};
        for (int n = 0; n < 1 + two; n++)
          for (int v = 0; v < 2; v++) {
            const long row = t.i0 + i + n, at = (i + n) * block + k + v * W;
            // a weight is at most 1, but where scores are huge, rounding says otherwise
            p[n][v] = exp2<typename M::Precision>(at_most_zero(load(w.scores + at) * factor - q.log_sum[row]));
            s[n][v] = p[n][v] * (load(w.by_weights + at) - q.common[row]);
            if (c.by_bias) keep_bias(t, row, t.j0 + k + v * W, s[n][v]);
          }
        store_across(across + i / M::STEP * across_row() + k, p);
        store_across(by_across + i / M::STEP * across_row() + k, s);
        for (int n = 0; n < 1 + two; n++) store_weights<M>(by_along + (i + n) * along, k, s[n][0], s[n][1]);
      }
    }
  }

  void keep_bias(const Tile& t, long row, long j, vec s) const {
    float* to = c.by_bias + ((t.b * c.heads + t.h) * c.queries + row) * c.keys + j;
    if (j < c.keys) store_some(to, s, c.keys - j);
  }

  static void store_across(Cell* to, const vec (&x)[2][2]) {
    for (int v = 0; v < 2; v++)
      if constexpr (M::STEP == 1) {
        store((float*)to + v * W, x[0][v]);
      } else {
        store((float*)to + v * W, interleaved(x[0][v], x[1][v]));
      }
  }

  // One row in the lower halves of the cells, one in the upper.
  static vec interleaved(vec low, vec high) {
#if defined(__AVX512BF16__)
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    const __m512i a = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
    const __m512i b = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1));
    return (vec)_mm512_or_si512(a, _mm512_slli_epi32(b, 16));
#else
    (void)high;
    return low;
#endif
  }

  // Add up what the parts of the keys have given, and round once.
  void finish_queries(long b, long h, const float* sums, long parts) const {
    for (long i = 0; i < c.queries; i++) {
      vec sound = {};
      for (long d = 0; d < c.dim; d += W) {
        vec sum = {};
        for (long p = 0; p < parts; p++) sum += load(sums + p * query_sums() + i * dims.padded() + d);
        const vec x = sum * float(c.scale);
        sound += x - x;
        store_some(row_of<T>(c.by_query, c.by_query_stride, b, h, i) + d, x, c.dim - d);
      }
      note(c, sound);
    }
  }
};

template <class M, class T>
void run_backward(const Call& c) {
  const Backward<M, T> back(c);
  const double work = 2.5 * double(c.batch) * c.heads * c.queries * c.keys * (c.dim + c.value_dim);
  const int threads = threads_for(back.items(), work);
  const long lot = std::max<long>(1, back.items() / (16 * threads));
  static thread_local Arena shared;
  float* sums = nullptr;
  if (back.splits > 1) {
    shared.reserve(4 * c.batch * c.heads * back.splits * back.query_sums());
    sums = shared.take<float>(c.batch * c.heads * back.splits * back.query_sums());
  }
#pragma omp parallel num_threads(threads)
  {
    static thread_local Arena arena;
#pragma omp for schedule(dynamic, lot)
    for (long x = 0; x < back.items(); x++) {
      arena.reserve(back.bytes());
      const long head = x / back.splits;
      back.run(head / c.kv_heads, head % c.kv_heads, x % back.splits, sums, arena);
    }
    if (sums) {
#pragma omp for schedule(static)
      for (long x = 0; x < c.batch * c.heads; x++)
        back.finish_queries(x / c.heads, x % c.heads, sums + x * back.splits * back.query_sums(), back.splits);
    }
    arena.release_if_large();
  }
  shared.release_if_large();
}
