// A few queries against many keys, as in writing word by word: keys and values are read where they
// lie, once, and the keys of a head are shared out among threads.
#pragma once
#include "forward.h"

constexpr long FEW = 8;         // queries that share a key head, at most
constexpr long CHUNK = 128;     // keys at a time
constexpr int TOGETHER = 4;     // queries that meet a value at a time, at most

// Scores of one query and the next W keys, of which `count` exist.
template <class M, class T>
inline vec meet(const Cell* query, const T* key, long stride, long count, long dim) {
  vec x[W];
  for (int n = 0; n < W; n++) {
    x[n] = vec{};
    if (n < count)
      for (long s = 0; s * M::STEP < dim; s += W)
        x[n] = M::add(x[n], load((const float*)query + s), cells_of<M>(key + n * stride, s, dim));
  }
  return sums_of(x);
}

// The same for W keys and S whole vectors, whose number is known.
template <class M, class T, int S>
inline vec meet_whole(const Cell* query, const T* key, long stride) {
  vec q[S], x[W];
  for (int s = 0; s < S; s++) q[s] = load((const float*)query + s * W);
  for (int n = 0; n < W; n++) {
    x[n] = vec{};
    for (int s = 0; s < S; s++) x[n] = M::add(x[n], q[s], cells_of<M>(key + n * stride, s * W, S * W * M::STEP));
  }
  return sums_of(x);
}

template <class M, class T>
inline vec meet_some(const Cell* query, const T* key, long stride, long count, long dim) {
  if (count < W || dim % (W * M::STEP)) return meet<M>(query, key, stride, count, dim);
  switch (dim / (W * M::STEP)) {
    case 1: return meet_whole<M, T, 1>(query, key, stride);
    case 2: return meet_whole<M, T, 2>(query, key, stride);
    case 4: return meet_whole<M, T, 4>(query, key, stride);
    case 8: return meet_whole<M, T, 8>(query, key, stride);
    default: return meet<M>(query, key, stride, count, dim);
  }
}

template <class T, int R, int V>
void add_values_tile(const float* weights, long row, const T* value, long stride, long keys, long left, float* sums, long wide) {
  vec sum[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sum[r][v] = load(sums + r * wide + v * W);
  for (long j = 0; j < keys; j++, value += stride) {
    vec x[V];
    for (int v = 0; v < V - 1; v++) x[v] = load(value + v * W);
    x[V - 1] = load_some(value + (V - 1) * W, left - (V - 1) * W);
    for (int r = 0; r < R; r++) {
      const vec w = spread(weights[r * row + j]);
      for (int v = 0; v < V; v++) sum[r][v] += w * x[v];
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) store(sums + r * wide + v * W, sum[r][v]);
}

template <class T, int R>
inline void add_values_of(int vectors, const float* weights, long row, const T* value, long stride, long keys, long left,
                          float* sums, long wide) {
  switch (vectors) {
    case 1: return add_values_tile<T, R, 1>(weights, row, value, stride, keys, left, sums, wide);
    case 2: return add_values_tile<T, R, 2>(weights, row, value, stride, keys, left, sums, wide);
    case 3: return add_values_tile<T, R, 3>(weights, row, value, stride, keys, left, sums, wide);
    default: return add_values_tile<T, R, 4>(weights, row, value, stride, keys, left, sums, wide);
  }
}

template <class M, class T>
struct Decode {
  const Call& c;
  const long group, rows, steps, wide, splits, split;

  // As for the backward pass: not by the number of threads.
  static long splits_of(const Call& c) {
    const long heads = c.batch * c.kv_heads;
    return std::max<long>(1, std::min((63 + heads) / heads, c.keys / 1024));
  }

  explicit Decode(const Call& c)
      : c(c), group(c.heads / c.kv_heads), rows(group * c.queries), steps(padded(steps_of<M>(c.dim), W)),
        wide(padded(c.value_dim, W)), splits(splits_of(c)), split(padded((c.keys + splits - 1) / splits, CHUNK)) {}

  static bool fits(const Call& c) { return c.heads / c.kv_heads * c.queries <= FEW; }

  long part_floats() const { return rows * (wide + 2 * W); }  // of one part: sums, most, total
  long items() const { return c.batch * c.kv_heads * splits; }
  size_t bytes() const { return 4 * (rows * steps + 2 * rows * CHUNK + FEW + W) + 64 * 4; }

  float* most_of(float* part) const { return part + rows * wide; }
  float* total_of(float* part) const { return part + rows * wide + rows; }

  void run(long x, float* part, Arena& arena) const {
    const long head = x / splits, b = head / c.kv_heads, hk = head % c.kv_heads;
    const long k0 = x % splits * split, k1 = std::min(c.keys, k0 + split);
    Cell* query = arena.take<Cell>(rows * steps);
    float* scores = arena.take<float>(rows * CHUNK);
    Cell* weights = arena.take<Cell>(rows * CHUNK);
    float* keep = arena.take<float>(padded(FEW, W));
    std::fill(part, part + rows * wide, 0.0f);
    std::fill(most_of(part), most_of(part) + rows, -INFINITY);
    std::fill(total_of(part), total_of(part) + rows, 0.0f);
    for (long r = 0; r < rows; r++)
      for (long s = 0; s < steps; s += W)
        store((float*)query + r * steps + s,
              cells_of<M>(row_of<T>(c.query, c.query_stride, b, hk * group + r / c.queries, r % c.queries), s, c.dim));
    for (long j0 = k0; j0 < k1; j0 += CHUNK) {
      const long j1 = std::min(j0 + CHUNK, k1);
      Seen seen[FEW];
      bool any = false;
      for (long g = 0; g < group; g++) {
        seen[g] = look(c, {b, hk * group + g, 0, c.queries, j0, j1});
        any |= seen[g] != Seen::none;
      }
      if (any) run_chunk(b, hk, j0, j1, seen, query, scores, weights, keep, part);
    }
  }

  // Does a head see any of these keys of a chunk? Of listed blocks most are often hidden, and never read then.
  bool meets(long b, long h, long j0, long j1, Seen chunk) const {
    if (chunk != Seen::some || !c.grid || j0 >= j1) return chunk != Seen::none;
    return look(c, {b, h, 0, c.queries, j0, j1}) != Seen::none;
  }

  void run_chunk(long b, long hk, long j0, long j1, const Seen* seen, const Cell* query, float* scores, Cell* weights,
                 float* keep, float* part) const {
    const long columns = padded(j1 - j0, LOT);
    const T* key = row_of<T>(c.key, c.key_stride, b, hk, j0);
    for (long k = 0; k < columns; k += W)
      for (long g = 0; g < group; g++) {
        const bool met = meets(b, hk * group + g, j0 + k, std::min(j0 + k + W, j1), seen[g]);
        for (long r = g * c.queries; r < (g + 1) * c.queries; r++)
          store(scores + r * CHUNK + k,
                met ? meet_some<M>(query + r * steps, key + k * c.key_stride[2], c.key_stride[2], j1 - j0 - k, c.dim)
                    : vec{});
      }
    // a chunk is cut short by the last key only, so what lies beyond it is hidden as not existing
    alignas(64) uint8_t any_of[FEW * CHUNK];
    for (long g = 0; g < group; g++) {
      const Tile t{b, hk * group + g, 0, c.queries, j0, j0 + columns};
      float* s = scores + g * c.queries * CHUNK;
      const float factor =
          finish_scores(c, t, columns == j1 - j0 ? seen[g] : both(seen[g], Seen::some), s, CHUNK, any_of + g * CHUNK);
      const long r = g * c.queries;
      weigh<Single>(s, CHUNK, c.queries, columns, factor, {most_of(part) + r, total_of(part) + r, keep + r},
                    weights + r * CHUNK);
    }
    for (long r = 0; r < rows; r++)
      if (keep[r] != 1)
        for (long d = 0; d < wide; d += W) store(part + r * wide + d, load(part + r * wide + d) * keep[r]);
    for (long g = 1; g < group; g++)
      for (long k = 0; k < CHUNK; k++) any_of[k] |= any_of[g * CHUNK + k];
    for (long first = 0, end = 0; next_run<Single>(any_of, j1 - j0, first, end);)
      add_values(b, hk, j0 + first, end - first, (const float*)weights + first, part);
  }

  void add_values(long b, long hk, long j0, long keys, const float* weights, float* part) const {
    const T* value = row_of<T>(c.value, c.value_stride, b, hk, j0);
    for (long d = 0; d < c.value_dim; d += 4 * W) {
      const long left = c.value_dim - d;
      const int vectors = int(std::min<long>(4, (left + W - 1) / W));
      for (long r = 0; r < rows; r += TOGETHER) {
        const float* w = weights + r * CHUNK;
        float* sums = part + r * wide + d;
        switch (std::min<long>(TOGETHER, rows - r)) {
          case 1: add_values_of<T, 1>(vectors, w, CHUNK, value + d, c.value_stride[2], keys, left, sums, wide); break;
          case 2: add_values_of<T, 2>(vectors, w, CHUNK, value + d, c.value_stride[2], keys, left, sums, wide); break;
          case 3: add_values_of<T, 3>(vectors, w, CHUNK, value + d, c.value_stride[2], keys, left, sums, wide); break;
          default: add_values_of<T, 4>(vectors, w, CHUNK, value + d, c.value_stride[2], keys, left, sums, wide);
        }
      }
    }
  }

  // Merge the parts of one key head: each counts by its share of the weights.
  void merge(long head, float* parts) const {
    const long b = head / c.kv_heads, hk = head % c.kv_heads;
    for (long r = 0; r < rows; r++) {
      const long h = hk * group + r / c.queries, i = r % c.queries;
      float most = -INFINITY, total = 0;
      for (long p = 0; p < splits; p++) most = std::max(most, most_of(parts + p * part_floats())[r]);
      float share[64];
      for (long p = 0; p < splits; p++) {
        const float part_most = most_of(parts + p * part_floats())[r];
        share[p] = part_most == -INFINITY ? 0 : exp2_of(part_most - most);
        total += share[p] * total_of(parts + p * part_floats())[r];
      }
      const float scale = total == 0 ? 0 : 1 / total;
      T* out = row_of<T>(c.output, c.output_stride, b, h, i);
      vec sound = {};
      for (long d = 0; d < c.value_dim; d += W) {
        vec sum = {};
        for (long p = 0; p < splits; p++) sum += load(parts + p * part_floats() + r * wide + d) * share[p];
        const vec x = sum * scale;
        sound += x - x;
        store_some(out + d, x, c.value_dim - d);
      }
      note(c, sound);
      if (c.log_sum) c.log_sum[(b * c.heads + h) * c.queries + i] = LN2 * (most + std::log2(total));
    }
  }
};

template <class M, class T>
void run_decode(const Call& c) {
  const Decode<M, T> d(c);
  const double work = double(c.batch) * c.heads * c.queries * c.keys * (c.dim + c.value_dim);
  const int threads = threads_for(d.items(), work);
  const long heads = c.batch * c.kv_heads, lot = std::max<long>(1, d.items() / (16 * threads));
  static thread_local Arena shared;
  shared.reserve(4 * d.items() * d.part_floats() + 64);
  float* parts = shared.take<float>(d.items() * d.part_floats());
#pragma omp parallel num_threads(threads)
  {
    static thread_local Arena arena;
#pragma omp for schedule(dynamic, lot)
    for (long x = 0; x < d.items(); x++) {
      arena.reserve(d.bytes());
      d.run(x, parts + x * d.part_floats(), arena);
    }
#pragma omp for schedule(static)
    for (long x = 0; x < heads; x++) d.merge(x, parts + x * d.splits * d.part_floats());
  }
}
