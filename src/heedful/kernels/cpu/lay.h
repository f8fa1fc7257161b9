// Tensors laid out as the product wants them: cells of one float or two bf16, padded with zeros.
#pragma once
#include "multiply.h"

// W cells of one row from cell `at` on; zeros beyond its `dim` items.
template <class M, class T>
inline vec cells_of(const T* row, long at, long dim) {
  if constexpr (M::STEP == 1) {
    return load_some(row + at, dim - at);
  } else {
    long left = dim - 2 * at;
    if (left >= 2 * W) return load((const float*)(row + 2 * at));
#if defined(__AVX512BF16__)
    const __mmask32 some = left <= 0 ? 0 : __mmask32(0xffffffffu >> (32 - left));
    return (vec)_mm512_maskz_loadu_epi16(some, row + 2 * at);
#else
    return vec{};  // pairs are for AVX-512-bf16 only
#endif
  }
}

template <class M>
inline long steps_of(long items) { return (items + M::STEP - 1) / M::STEP; }

// Rows as they are: to[row][step].
template <class M, class T>
void lay_rows(const T* from, long stride, long rows, long dim, Cell* to) {
  const long steps = steps_of<M>(dim);
  for (long i = 0; i < rows; i++)
    for (long s = 0; s < steps; s += W)
      store_some((float*)to + i * steps + s, cells_of<M>(from + i * stride, s, dim), steps - s);
}

constexpr int LOT = 2 * W;  // columns are worked on in lots; what a lot has beyond the last key is 0

// Rows become columns: to[panel][step][WIDTH].
template <class M, class T>
void lay_columns(const T* from, long stride, long rows, long dim, Cell* to) {
  const long steps = steps_of<M>(dim);
  for (long i = 0; i < rows; i += W) {
    float* panel = (float*)to + i / WIDTH * steps * WIDTH + i % WIDTH;
    for (long s = 0; s < steps; s += W) {
      vec x[W];
      for (int k = 0; k < W; k++)
        x[k] = i + k < rows ? cells_of<M>(from + (i + k) * stride, s, dim) : vec{};
      transpose(x);
      for (int k = 0; k < W && s + k < steps; k++) store(panel + (s + k) * WIDTH, x[k]);
    }
  }
  for (long i = (rows + W - 1) / W * W; i % LOT; i += W)  // what is left of the last lot
    for (long s = 0; s < steps; s++) store((float*)to + (i / WIDTH * steps + s) * WIDTH + i % WIDTH, vec{});
}

// Rows become steps: to[panel of columns][step][its columns], `steps` in all.
template <class M, class T>
void lay_steps(const T* from, long stride, long rows, long dim, long steps, Cell* to) {
  const Columns columns(dim);
  for (int p = 0; p < columns.panels; p++) {
    float* panel = (float*)to + steps * columns.first(p) * W;
    const int count = columns.count(p);
    for (long s = 0; s < steps; s++)
      for (int v = 0; v < count; v++) {
        const long at = long(columns.first(p) + v) * W, left = dim - at, row = s * M::STEP;
        const T* x = from + row * stride + at;
        vec a = row < rows ? load_some(x, left) : vec{};
        if constexpr (M::STEP == 2) {
          vec b = row + 1 < rows ? load_some(x + stride, left) : vec{};
          a = (vec)((uvec)a >> 16 | (uvec)b);  // bf16 as float: its bits are the upper half
        }
        store(panel + (s * count + v) * W, a);
      }
  }
}

inline long padded(long items, long to) { return (items + to - 1) / to * to; }

// Memory of one thread, kept from call to call unless it is large.
class Arena {
 public:
  ~Arena() { free(start_); }
  void reserve(size_t bytes) {
    if (bytes <= size_) return void(at_ = 0);
    free(start_);
    size_ = padded(bytes, 4096);
    start_ = (char*)aligned_alloc(64, size_);
    if (!start_) { size_ = 0; throw std::bad_alloc(); }
    at_ = 0;
  }
  template <class X>
  X* take(size_t count) {
    X* x = (X*)(start_ + at_);
    at_ += padded(count * sizeof(X), 64);
#if defined(HEEDFUL_POISON)
    memset((void*)x, 0xff, count * sizeof(X));  // NaN: what is read before it is written shows
#endif
    return x;
  }
  size_t mark() const { return at_; }
  void back_to(size_t mark) { at_ = mark; }  // what was taken after it may be taken again
  void release_if_large() {
    if (size_ <= (32u << 20)) return;
    free(start_);
    start_ = nullptr;
    size_ = 0;
  }
 private:
  char* start_ = nullptr;
  size_t size_ = 0, at_ = 0;
};
