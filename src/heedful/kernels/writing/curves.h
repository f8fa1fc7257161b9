// Smooth steps, to within a rounding or two.
#pragma once
#include "../cpu/softmax.h"

inline vec power_of_minus(vec size) { return exp2<Fine>(size * -LOG2E); }  // e^-size, of a size that is not below 0

inline vec sigmoid(vec x) {
  const vec e = power_of_minus(larger(x, -x));
  return (x < 0 ? e : spread(1)) / (1 + e);
}

inline vec tanh(vec x) {
  const vec e = power_of_minus(2 * larger(x, -x)), size = (1 - e) / (1 + e);
  return x < 0 ? -size : size;
}
