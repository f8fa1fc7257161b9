// How many threads a call may use.
#pragma once
#include <algorithm>
#include <omp.h>
#include <pthread.h>

inline bool forked = false;  // a child has none of the threads that its parent's pool counts on
inline const int watches_forks = pthread_atfork(nullptr, nullptr, [] { forked = true; });

// Products of numbers that are done before a second thread has woken up.
constexpr double ALONE = 1e6;

inline int threads_for(long items, double work) {
  if (forked || omp_in_parallel() || work < ALONE) return 1;
  return int(std::max<long>(1, std::min<long>(items, omp_get_max_threads())));
}
