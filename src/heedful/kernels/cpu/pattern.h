// Who sees whom: what can be skipped, what needs no mask, and the rest pair by pair.
#pragma once
#include <algorithm>
#include "call.h"
#include "vector.h"

enum class Seen { none, some, all };

struct Tile {  // of the score matrix of one head: queries [i0, i1), keys [j0, j1)
  long b, h, i0, i1, j0, j1;
};

inline Seen both(Seen a, Seen b) { return a < b ? a : b; }

inline Seen seen_in_band(const Call& c, const Tile& t) {
  long nearest = t.j1 - 1 - t.i0, farthest = t.j0 - (t.i1 - 1);  // largest and smallest j - i
  if (farthest > c.high) return Seen::none;
  bool sunk = t.j1 <= c.sinks;
  if (nearest < c.low && t.j0 >= c.sinks) return Seen::none;
  return nearest <= c.high && (farthest >= c.low || sunk) ? Seen::all : Seen::some;
}

inline Seen seen_in_ids(const Call& c, const Tile& t) {
  const int64_t *q = c.query_ids + t.b * c.queries, *k = c.key_ids + t.b * c.keys;
  long end = std::min<long>(t.j1, c.keys), stop = std::min<long>(t.i1, c.queries);
  int64_t q_low = q[t.i0], q_high = q_low, k_low = k[t.j0], k_high = k_low;
  for (long i = t.i0; i < stop; i++) q_low = std::min(q_low, q[i]), q_high = std::max(q_high, q[i]);
  for (long j = t.j0; j < end; j++) k_low = std::min(k_low, k[j]), k_high = std::max(k_high, k[j]);
  if (q_high < k_low || k_high < q_low) return Seen::none;
  return q_low == q_high && k_low == k_high && q_low == k_low ? Seen::all : Seen::some;
}

inline Seen seen_in_grid(const Call& c, const Tile& t) {
  const uint8_t* grid = c.grid + t.b * c.grid_stride[0] + t.h * c.grid_stride[1];
  long last_i = (std::min<long>(t.i1, c.queries) - 1) / c.block;
  long last_j = (std::min<long>(t.j1, c.keys) - 1) / c.block;
  bool any = false, every = true;
  for (long i = t.i0 / c.block; i <= last_i; i++)
    for (long j = t.j0 / c.block; j <= last_j; j++) {
      bool listed = grid[i * c.grid_stride[2] + j * c.grid_stride[3]];
      any |= listed;
      every &= listed;
    }
  return every ? Seen::all : any ? Seen::some : Seen::none;
}

inline Seen seen_in_dense(const Call& c, const Tile& t) {
  const uint8_t* dense = c.dense + t.b * c.dense_stride[0] + t.h * c.dense_stride[1];
  long end = std::min<long>(t.j1, c.keys), stop = std::min<long>(t.i1, c.queries);
  if (!c.dense_stride[2]) stop = t.i0 + 1;
  if (!c.dense_stride[3]) end = t.j0 + 1;
  unsigned any = 0, every = 1;
  for (long i = t.i0; i < stop; i++) {
    const uint8_t* row = dense + i * c.dense_stride[2];
    if (c.dense_stride[3] <= 1)
      for (long j = t.j0; j < end; j++) any |= row[j * (c.dense_stride[3] != 0)], every &= row[j * (c.dense_stride[3] != 0)];
    else
      for (long j = t.j0; j < end; j++) any |= row[j * c.dense_stride[3]], every &= row[j * c.dense_stride[3]];
  }
  return every ? Seen::all : any ? Seen::some : Seen::none;
}

// What is seen of a tile; `some` may also be said of a tile of which all or nothing is seen.
inline Seen look(const Call& c, const Tile& t) {
  Seen seen = t.j1 > c.keys ? Seen::some : Seen::all;
  seen = both(seen, seen_in_band(c, t));
  if (c.lengths && seen != Seen::none) {
    long length = c.lengths[t.b];
    seen = both(seen, t.j0 >= length ? Seen::none : t.j1 > length ? Seen::some : Seen::all);
  }
  if (c.grid && seen != Seen::none) seen = both(seen, seen_in_grid(c, t));
  if (c.query_ids && seen != Seen::none) seen = both(seen, seen_in_ids(c, t));
  if (c.dense && seen != Seen::none) seen = both(seen, seen_in_dense(c, t));
  return seen;
}

// The keys of a batch row; what lies beyond may hold anything, also what is no number.
inline long existing_keys(const Call& c, long b) {
  return c.lengths ? std::max<long>(0, std::min(c.keys, c.lengths[b])) : c.keys;
}

// The key from which on nothing of a tile exists.
inline long last_key(const Call& c, const Tile& t) { return std::min<long>(t.j1, existing_keys(c, t.b)); }

// The keys of a tile outside of which nothing is seen, as far as band and lengths tell.
inline void narrow(const Call& c, Tile& t) {
  t.j1 = std::max(std::min<long>(last_key(c, t), t.i1 + c.high), t.j0);
  if (t.j0 >= c.sinks) t.j0 = std::min(std::max<long>(t.j0, t.i0 + c.low), t.j1);
}

// One row of a tile: 1 where query i sees key j0 + k, else 0.
inline void see(const Call& c, long b, long h, long i, long j0, long count, uint8_t* seen) {
  long end = std::min<long>(c.keys, i + c.high + 1);
  if (c.lengths) end = std::min<long>(end, c.lengths[b]);
  const long near = std::min(count, std::max<long>(0, i + c.low - j0));
  const long sunk = std::min(near, std::max<long>(0, c.sinks - j0)), stop = std::min(count, std::max<long>(0, end - j0));
  memset(seen, 0, count);
  if (stop > near) memset(seen + near, 1, stop - near);
  if (std::min(stop, sunk) > 0) memset(seen, 1, std::min(stop, sunk));
  long known = std::max<long>(0, std::min<long>(count, c.keys - j0));
  if (c.query_ids) {
    const int64_t id = c.query_ids[b * c.queries + i], *ids = c.key_ids + b * c.keys + j0;
    for (long k = 0; k < known; k++) seen[k] &= ids[k] == id;
  }
  if (c.grid) {
    const uint8_t* row = c.grid + b * c.grid_stride[0] + h * c.grid_stride[1] + i / c.block * c.grid_stride[2];
    for (long k = 0; k < known; k++) seen[k] &= row[(j0 + k) / c.block * c.grid_stride[3]];
  }
  if (c.dense) {
    const uint8_t* row = c.dense + b * c.dense_stride[0] + h * c.dense_stride[1] + i * c.dense_stride[2];
    if (c.dense_stride[3] == 1)
      for (long k = 0; k < known; k++) seen[k] &= row[j0 + k];
    else
      for (long k = 0; k < known; k++) seen[k] &= row[(j0 + k) * c.dense_stride[3]];
  }
}
