// Vectors of the widest kind that the compiler's flags allow, on GCC's and Clang's vector extension:
// one source for AVX-512, AVX2 and any other machine.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int W = 16;        // lanes
constexpr int PANEL = 4;     // vectors side by side in a register tile
#elif defined(__AVX2__)
constexpr int W = 8;
constexpr int PANEL = 2;
#else
constexpr int W = 4;
constexpr int PANEL = 2;
#endif
constexpr int ROWS = 6;            // of a register tile: 6 x PANEL sums, and what they are made of
constexpr int WIDTH = PANEL * W;   // columns of a register tile

typedef float vec __attribute__((vector_size(4 * W)));
typedef int32_t ivec __attribute__((vector_size(4 * W)));
typedef uint32_t uvec __attribute__((vector_size(4 * W)));
typedef float loose_vec __attribute__((vector_size(4 * W), aligned(2), may_alias));
typedef uint16_t loose_shorts __attribute__((vector_size(2 * W), aligned(2), may_alias));
typedef uint16_t shorts __attribute__((vector_size(2 * W)));
typedef uint8_t loose_bytes __attribute__((vector_size(W), aligned(1), may_alias));
typedef uint32_t Cell __attribute__((may_alias));  // one float, or two bf16

struct bf16 { uint16_t bits; };
struct half { uint16_t bits; };

inline vec spread(float x) { return vec{} + x; }
inline vec larger(vec a, vec b) { return a > b ? a : b; }
inline vec at_most_zero(vec a) { return a > 0 ? vec{} : a; }  // NaN stays NaN

// ---- loads and stores -------------------------------------------------------------------------

inline vec load(const float* x) { return *(const loose_vec*)x; }
inline void store(float* x, vec v) { *(loose_vec*)x = v; }

inline vec load(const bf16* x) {
  uvec wide = __builtin_convertvector(*(const loose_shorts*)x, uvec);
  return (vec)(wide << 16);
}

inline void store(bf16* x, vec v) {
  uvec bits = (uvec)v;
  uvec even = bits + 0x7fff + ((bits >> 16) & 1);
  uvec rounded = (v == v) ? (even >> 16) : uvec{} + 0x7fc0;  // NaN must not round to infinity
  *(loose_shorts*)x = __builtin_convertvector(rounded, shorts);
}

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) {
  uint32_t bits = uint32_t(x.bits) << 16;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}

inline float to_float(half x) {
  uint32_t sign = uint32_t(x.bits & 0x8000) << 16, rest = x.bits & 0x7fff;
  float result;
  if (rest < 0x400) {  // zero and subnormal: 2^-24 a step
    result = float(rest) * 5.9604644775390625e-8f;
    uint32_t bits;
    memcpy(&bits, &result, 4);
    bits |= sign;
    memcpy(&result, &bits, 4);
    return result;
  }
  uint32_t bits = sign | (rest >= 0x7c00 ? 0x7f800000 | (rest & 0x3ff) << 13 : (rest << 13) + (112u << 23));
  memcpy(&result, &bits, 4);
  return result;
}

inline void from_float(float v, float* x) { *x = v; }

inline void from_float(float v, bf16* x) {
  uint32_t bits;
  memcpy(&bits, &v, 4);
  x->bits = v == v ? uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) : 0x7fc0;
}

inline void from_float(float v, half* x) {
  uint32_t bits;
  memcpy(&bits, &v, 4);
  uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (size > 0x7f800000) { x->bits = uint16_t(sign | 0x7e00); return; }
  if (size >= 0x477ff000) { x->bits = uint16_t(sign | 0x7c00); return; }  // rounds beyond 65504
  if (size < 0x38800000) {  // subnormal: let the addition round
    float shifted;
    memcpy(&shifted, &size, 4);
    shifted += 0.5f;
    uint32_t sum;
    memcpy(&sum, &shifted, 4);
    x->bits = uint16_t(sign | (sum - 0x3f000000));
    return;
  }
  uint32_t odd = size >> 13 & 1;
  x->bits = uint16_t(sign | ((size - (112u << 23) + 0xfff + odd) >> 13));
}

inline vec load(const half* x) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i*)x));
#elif defined(__F16C__)
  return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)x));
#else
  vec v;
  for (int k = 0; k < W; k++) v[k] = to_float(x[k]);
  return v;
#endif
}

inline void store(half* x, vec v) {
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i*)x, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  _mm_storeu_si128((__m128i*)x, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int k = 0; k < W; k++) from_float(v[k], x + k);
#endif
}

// Up to W items, zeros after them; touches nothing beyond.
#if defined(__AVX512F__)
inline __mmask16 first_lanes(long count) { return count <= 0 ? 0 : __mmask16(0xffffu >> (16 - count)); }

inline vec load_first(const float* x, long count) { return (vec)_mm512_maskz_loadu_ps(first_lanes(count), x); }
inline void store_first(float* x, vec v, long count) { _mm512_mask_storeu_ps(x, first_lanes(count), (__m512)v); }

inline shorts shorts_first(const void* x, long count) {
  return (shorts)_mm256_maskz_loadu_epi16(first_lanes(count), x);
}
inline vec load_first(const bf16* x, long count) {
  return (vec)(__builtin_convertvector(shorts_first(x, count), uvec) << 16);
}
inline vec load_first(const half* x, long count) {
  return (vec)_mm512_maskz_cvtph_ps(0xffff, (__m256i)shorts_first(x, count));
}
template <class T>
inline void store_first(T* x, vec v, long count) {
  T all[W];
  store(all, v);
  _mm256_mask_storeu_epi16(x, first_lanes(count), _mm256_loadu_si256((const __m256i*)all));
}
#else
template <class T>
inline vec load_first(const T* x, long count) {
  alignas(64) float all[W] = {};
  for (long k = 0; k < count; k++) all[k] = to_float(x[k]);
  return load(all);
}
template <class T>
inline void store_first(T* x, vec v, long count) {
  for (long k = 0; k < count; k++) from_float(v[k], x + k);
}
#endif

template <class T>
inline vec load_some(const T* x, long count) {
  return count >= W ? load(x) : load_first(x, count);
}

template <class T>
inline void store_some(T* x, vec v, long count) {
  count >= W ? store(x, v) : store_first(x, v, count);
}

// ---- sums, maxima, transposition --------------------------------------------------------------

inline float sum_of(vec v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float total = 0;
  for (int k = 0; k < W; k++) total += v[k];
  return total;
#endif
}

inline float largest_of(vec v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps((__m512)v);
#else
  float most = v[0];
  for (int k = 1; k < W; k++) most = v[k] > most ? v[k] : most;
  return most;
#endif
}

// Which lanes of two vectors, counted through, make a new one.
struct Lanes {
  alignas(64) int32_t at[W];
  template <class Pick>
  constexpr explicit Lanes(Pick pick) : at() {
    for (int k = 0; k < W; k++) at[k] = pick(k);
  }
  ivec order() const { return *(const ivec*)at; }
};

inline vec mix(vec a, vec b, ivec order) {
#if defined(__AVX512F__)
  return (vec)_mm512_permutex2var_ps((__m512)a, (__m512i)order, (__m512)b);
#elif defined(__clang__)
  vec v;
  for (int k = 0; k < W; k++) v[k] = order[k] < W ? a[order[k]] : b[order[k] - W];
  return v;
#else
  return __builtin_shuffle(a, b, order);
#endif
}

template <int S>
inline void swap_quarters(vec (&x)[W]) {
  static constexpr Lanes low([](int k) { return k & S ? W + k - S : k; });
  static constexpr Lanes high([](int k) { return k & S ? W + k : k + S; });
  for (int i = 0; i < W; i++)
    if (!(i & S)) {
      const vec a = x[i], b = x[i + S];
      x[i] = mix(a, b, low.order());
      x[i + S] = mix(a, b, high.order());
    }
}

// W vectors of W lanes: rows become columns.
inline void transpose(vec (&x)[W]) {
  swap_quarters<1>(x);
  swap_quarters<2>(x);
  if constexpr (W > 4) swap_quarters<W / 2 < 4 ? 1 : 4>(x);
  if constexpr (W > 8) swap_quarters<W / 2 < 8 ? 1 : 8>(x);
}

// The sums of W vectors, side by side.
inline vec sums_of(vec (&x)[W]) {
  static constexpr Lanes even([](int k) { return 2 * k; });
  static constexpr Lanes odd([](int k) { return 2 * k + 1; });
  for (int n = W / 2; n; n /= 2)
    for (int i = 0; i < n; i++)
      x[i] = mix(x[2 * i], x[2 * i + 1], even.order()) + mix(x[2 * i], x[2 * i + 1], odd.order());
  return x[0];
}

// ---- 2^y for y <= 0 -----------------------------------------------------------------------------
// NaN stays NaN; below 2^-126 it is exactly 0, so that hidden keys (y = -inf) have no weight at all.
// Polynomials: least maximum of the relative error on [-1/2, 1/2].


struct Fine {  // relative error 2e-9 before rounding
  static vec power(vec f) {
    vec p = spread(1.5345807542e-4f);
    p = p * f + 1.3399931183e-3f;
    p = p * f + 9.6184889737e-3f;
    p = p * f + 5.5503287771e-2f;
    p = p * f + 2.4022646890e-1f;
    p = p * f + 6.9314720574e-1f;
    return p * f + 1.0f;
  }
};

struct Coarse {  // relative error 8e-5, a thirtieth of what bf16 rounds off
  static vec power(vec f) {
    vec p = spread(5.5171624150e-2f);
    p = p * f + 2.4261111875e-1f;
    p = p * f + 6.9326099375e-1f;
    return p * f + 9.9992807396e-1f;
  }
};

template <class Precision>
inline vec exp2(vec y) {
  const vec magic = spread(12582912.0f);  // 1.5 * 2^23: what is added to it is rounded to a whole
#if defined(__AVX512F__)
  const __mmask16 some = _mm512_cmp_ps_mask((__m512)y, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
  const vec shifted = y + magic;
  const vec p = Precision::power(y - (shifted - magic));
  return (vec)_mm512_maskz_add_epi32(some, (__m512i)p, _mm512_slli_epi32((__m512i)shifted, 23));
#else
  vec kept = y < -126.0f ? spread(-126.0f) : y;
  vec shifted = kept + magic;
  vec p = Precision::power(kept - (shifted - magic));
  vec result = (vec)((ivec)p + ((ivec)shifted << 23));
  return y < -126.0f ? vec{} : result;
#endif
}

inline float exp2_of(float y) { return y < -126.0f ? 0.0f : std::exp2(y); }
