// Products of whole numbers: what a cell of the matrix product holds on this CPU, and how it is made.
#pragma once
#include "lay.h"

constexpr float LARGEST = 127, SMALLEST = 1e-30f;

#if defined(__AVX512VNNI__)
struct Whole {  // a cell is four numbers of 8 bits, those of the left with 128 added
  typedef uint8_t Item;
  static constexpr int STEP = 4, MIDDLE = 128;
  static vec add(vec sum, vec a, vec b) { return (vec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b); }
  static vec cells(const int8_t* at) { return load((const float*)at); }
  static void keep(Item* to, ivec x) { _mm_storeu_si128((__m128i*)to, _mm512_cvtepi32_epi8((__m512i)(x + MIDDLE))); }
};
#else
struct Whole {  // a cell is two numbers of 16 bits: with 8, sums of products would not fit into 16
  typedef int16_t Item;
  static constexpr int STEP = 2, MIDDLE = 0;
  typedef int16_t loose_items __attribute__((vector_size(2 * W), aligned(2), may_alias));
  typedef int8_t loose_wholes __attribute__((vector_size(2 * W), aligned(1), may_alias));
  typedef int16_t items __attribute__((vector_size(4 * W)));

  static vec add(vec sum, vec a, vec b) {
#if defined(__AVX512F__)
    return (vec)_mm512_add_epi32((__m512i)sum, _mm512_madd_epi16((__m512i)a, (__m512i)b));
#elif defined(__AVX2__)
    return (vec)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16((__m256i)a, (__m256i)b));
#else
    const ivec x = (ivec)a, y = (ivec)b;
    return (vec)((ivec)sum + (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16));
#endif
  }
  static vec cells(const int8_t* at) { return (vec)__builtin_convertvector(*(const loose_wholes*)at, items); }
  static void keep(Item* to, ivec x) { *(loose_items*)to = __builtin_convertvector(x, loose_items); }
};
#endif

constexpr int ALIKE = Whole::STEP * W;  // items of one vector of cells
typedef int8_t Wholes __attribute__((may_alias));

// One row of floats as whole numbers of at most 127 in size; what lies behind the last is 0.
// Returns how large they are, or NaN where not all is finite.
inline float lower(const float* x, long items, Whole::Item* to) {
  vec most = spread(SMALLEST), sound = {};
  for (long i = 0; i < items; i += W) {
    const vec v = load_some(x + i, items - i);
    most = larger(most, larger(v, -v));
    sound += v - v;
  }
  const float size = largest_of(most), wrong = sum_of(sound), factor = wrong == 0 ? LARGEST / size : 0;
  const vec magic = spread(12582912.0f);  // 1.5 * 2^23: what is added to it is rounded to a whole
  for (long i = 0; i < padded(items, ALIKE); i += W) {
    const vec v = i < items ? load_some(x + i, items - i) : vec{};
    const ivec each = (ivec)(v * factor + magic) - (ivec)magic;
    Whole::keep(to + i, wrong == 0 ? each : ivec{});
  }
  return wrong == 0 ? size : wrong;
}

// W cells of a row of a weight from item `at` on; zeros beyond its last.
inline vec cells_of(const int8_t* row, long at, long items) {
  if (at + ALIKE <= items) return Whole::cells(row + at);
  alignas(64) int8_t some[ALIKE] = {};
  if (at < items) memcpy(some, row + at, items - at);
  return Whole::cells(some);
}
