// What may follow a linear layer, number by number.
#pragma once
#include "../cpu/softmax.h"

enum class Curve : long { none, gelu, gelu_tanh, silu };

// x times the normal distribution. Abramowitz and Stegun 7.1.26, to 1.5e-7, on the side where little is left.
inline vec gelu(vec x) {
  const vec size = larger(x, -x), z = size * 0.70710678f, t = 1 / (1 + z * 0.3275911f);
  vec p = spread(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const vec rest = p * t * exp2<Fine>(z * z * -LOG2E);
  return larger(x, vec{}) - 0.5f * size * rest;
}

inline vec times_sigmoid(vec x, vec of) {
  const vec e = exp2<Fine>(larger(of, -of) * -LOG2E);
  return x * ((of < 0 ? e : spread(1)) / (1 + e));
}

// The same with a tanh, of which 1 + tanh(u) is 2 sigmoid(2 u).
inline vec gelu_tanh(vec x) { return times_sigmoid(x, 1.5957691216f * (x + 0.044715f * x * x * x)); }

inline vec curved(vec x, Curve curve) {
  switch (curve) {
    case Curve::gelu: return gelu(x);
    case Curve::gelu_tanh: return gelu_tanh(x);
    case Curve::silu: return times_sigmoid(x, x);
    default: return x;
  }
}
