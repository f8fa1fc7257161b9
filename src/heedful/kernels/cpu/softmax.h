// Scores become weights, one tile at a time, with the running maximum and sum of every row.
#pragma once
#include "lay.h"
#include "pattern.h"

constexpr long MOST_COLUMNS = 256;  // of a tile
constexpr float LOG2E = 1.4426950408889634f, LN2 = 0.6931471805599453f;

// Two vectors of weights as W cells of neighbours.
inline vec pairs(vec first, vec second) {
#if defined(__AVX512BF16__)
  return (vec)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
#else
  (void)second;
  return first;
#endif
}

template <class M>
inline void store_weights(Cell* to, long k, vec first, vec second) {
  if constexpr (M::STEP == 2) {
    store((float*)to + k / 2, pairs(first, second));
  } else {
    store((float*)to + k, first);
    store((float*)to + k + W, second);
  }
}

inline float bias_at(const Call& c, long offset) {
  if (c.bias_type == 0) return ((const float*)c.bias)[offset];
  return c.bias_type == 1 ? to_float(((const bf16*)c.bias)[offset]) : to_float(((const half*)c.bias)[offset]);
}

// W items of the bias from key j on; those beyond the last key do not matter.
inline vec bias_of(const Call& c, long row, long j) {
  const long left = c.keys - j, step = c.bias_stride[3];
  if (step == 1) {
    if (c.bias_type == 0) return load_some((const float*)c.bias + row + j, left);
    if (c.bias_type == 1) return load_some((const bf16*)c.bias + row + j, left);
    return load_some((const half*)c.bias + row + j, left);
  }
  alignas(64) float some[W] = {};
  for (long k = 0; k < W && k < left; k++) some[k] = bias_at(c, row + (j + k) * step);
  return load(some);
}

constexpr float LOWEST = -3e38f;  // of what a bias may be, so that a score can still be added

// -inf hides; a number hides nothing, however low it is, and must stay one.
inline vec in_powers_of_two(vec bias) {
  const vec x = bias * LOG2E, lowest = spread(LOWEST);
  return (x < lowest) & (bias > spread(-INFINITY)) ? lowest : x;
}

// Hide what is not seen of a tile and add the bias. Returns what the scores are still to be
// multiplied by, so that they are in powers of two; `any` gets 1 where at least one query sees a key.
inline float finish_scores(const Call& c, const Tile& t, Seen seen, float* scores, long row, uint8_t* any) {
  const float factor = float(c.scale) * LOG2E;
  const long columns = t.j1 - t.j0;
  memset(any, seen == Seen::all, columns);
  if (seen == Seen::some && !c.bias && factor > 0) {  // often only the last keys do not exist
    Tile there = t;
    there.j1 = last_key(c, t);
    if (there.j1 > there.j0 && look(c, there) == Seen::all) {
      for (long i = 0; i < t.i1 - t.i0; i++)
        std::fill(scores + i * row + (there.j1 - t.j0), scores + i * row + columns, -INFINITY);
      memset(any, 1, there.j1 - t.j0);
      return factor;
    }
  }
  if (seen == Seen::all && !c.bias && factor > 0) return factor;
  alignas(64) uint8_t sees[MOST_COLUMNS];
  for (long i = t.i0; i < t.i1; i++) {
    float* s = scores + (i - t.i0) * row;
    const long bias = c.bias_stride[0] * t.b + c.bias_stride[1] * t.h + c.bias_stride[2] * i;
    if (seen != Seen::all) {
      see(c, t.b, t.h, i, t.j0, columns, sees);
      for (long k = 0; k < columns; k++) any[k] |= sees[k];
    }
    for (long k = 0; k < columns; k += W) {
      vec x = load(s + k) * factor;
      if (c.bias) x = in_powers_of_two(bias_of(c, bias, t.j0 + k)) + x;
      if (seen != Seen::all) {
        ivec visible = __builtin_convertvector(*(const loose_bytes*)(sees + k), ivec);
        x = visible ? x : spread(-INFINITY);
      }
      store(s + k, x);
    }
  }
  return 1;
}

// The next keys, as whole steps, that somebody sees; those between are not even multiplied by 0,
// because they may hold anything, also what is no number.
template <class M>
inline bool next_run(const uint8_t* any, long columns, long& first, long& end) {
  for (first = end; first < columns && !any[first];) first++;
  if (first == columns) return false;
  for (end = first; end < columns && any[end];) end++;
  first = first / M::STEP * M::STEP;
  end = std::min(padded(end, M::STEP), columns);
  return true;
}

struct Running {  // per row: the largest score so far, the sum of weights relative to it
  float *most, *total, *keep;  // keep: what the sums so far must be multiplied by
};

// The largest of every row so far, and what that changes: at most W rows.
inline void raise(const float* scores, long row, long rows, long columns, float factor, const Running& at) {
  alignas(64) float most[W] = {};
  for (long r = 0; r < rows; r++) {
    const float* s = scores + r * row;
    vec a = load(s), b = load(s + W);
    for (long k = 2 * W; k < columns; k += 2 * W) a = larger(a, load(s + k)), b = larger(b, load(s + k + W));
    most[r] = std::max(at.most[r], largest_of(larger(a, b)) * factor);
  }
  const vec now = load(most), keep = exp2<Fine>(load_some(at.most, rows) - now);
  const vec nothing = spread(-INFINITY);  // seen so far: nothing to change
  store_some(at.keep, now == nothing ? spread(1) : keep, rows);
  store_some(at.most, now, rows);
}

constexpr float HUGE_SCORE = 1 << 20;

// Multiply and round now: a product that is not rounded, less a largest one that was, would be off
// by what was rounded, of which no power can be taken when scores are huge.
inline float multiplied(float* s, long columns, float factor) {
  for (long k = 0; k < columns; k += W) store(s + k, load(s + k) * factor);
  asm volatile("" ::: "memory");
  return 1;
}

template <class M>
inline void weigh(float* scores, long row, long rows, long columns, float factor, const Running& at, Cell* weights) {
  for (long r = 0; r < rows; r += W)
    raise(scores + r * row, row, std::min<long>(W, rows - r), columns, factor, {at.most + r, at.total + r, at.keep + r});
  for (long r = 0; r < rows; r++) {
    float* s = scores + r * row;
    Cell* w = weights + r * (row / M::STEP);
    const vec most = spread(at.most[r] == -INFINITY ? 0 : at.most[r]);
    const vec f = spread(std::fabs(at.most[r]) < HUGE_SCORE ? factor : multiplied(s, columns, factor));
    vec sum = {}, other = {};
    for (long k = 0; k < columns; k += 2 * W) {
      vec x = exp2<typename M::Precision>(load(s + k) * f - most);
      vec y = exp2<typename M::Precision>(load(s + k + W) * f - most);
      sum += x, other += y;
      store_weights<M>(w, k, x, y);
    }
    at.total[r] = at.total[r] * at.keep[r] + sum_of(sum + other);
  }
}
