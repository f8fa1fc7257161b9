// Exact attention on CPUs, with a plain C interface: see call.h for what goes in.
#include <cstdlib>
#include <new>
#include "backward.h"
#include "decode.h"

constexpr int NOT_FINITE = 4;  // all is written, and not all of it is finite

template <template <class, class> class Run>
int by_type(const Call& c) {
  switch (c.type) {
    case 0: Run<Single, float>::run(c); return 0;
#if defined(__AVX512BF16__)
    case 1: Run<Pair, bf16>::run(c); return 0;
#else
    case 1: Run<Single, bf16>::run(c); return 0;
#endif
    case 2: Run<Single, half>::run(c); return 0;
  }
  return 3;
}

template <class M, class T>
struct RunForward {
  static void run(const Call& c) { Decode<M, T>::fits(c) ? run_decode<M, T>(c) : run_forward<M, T>(c); }
};

template <class M, class T>
struct RunBackward {
  static void run(const Call& c) { run_backward<M, T>(c); }
};

template <template <class, class> class Run>
int guarded(const void* packed) {
  Call c;
  memcpy((void*)&c, packed, PACKED);
  if (c.size != PACKED) return 1;
  c.spoilt = 0;
  try {
    const int code = by_type<Run>(c);
    return code ? code : c.spoilt ? NOT_FINITE : 0;
  } catch (const std::bad_alloc&) {
    return 2;
  }
}

extern "C" {
int64_t heedful_call_size() { return PACKED; }
int heedful_forward(const void* packed) { return guarded<RunForward>(packed); }
int heedful_backward(const void* packed) { return guarded<RunBackward>(packed); }

// Read every byte once with all threads: what reading keys and values takes at least.
float heedful_read(const float* from, int64_t count) {
  float total = 0;
#pragma omp parallel for schedule(static) reduction(+ : total) num_threads(threads_for(64, count))
  for (int64_t part = 0; part < 64; part++) {
    const float *x = from + count / 64 / 64 * 64 * part, *end = x + count / 64 / 64 * 64;
    vec sum[4] = {};
    for (; x < end; x += 4 * W)
      for (int k = 0; k < 4; k++) sum[k] += load(x + k * W);
    total += sum_of(sum[0] + sum[1] + (sum[2] + sum[3]));
  }
  return total;
}
}
