// A network as its owner describes it: whole numbers in a row, in the order in which they are read.
#pragma once
#include <vector>
#include "../cpu/lay.h"

typedef std::vector<float> Floats;

// Numbers of the owner's, which may be written to at any time.
struct Span {
  const float* at;
  long count;
  uint64_t some, all;  // sums of bits, as they were

  uint64_t sum(long step) const {
    uint64_t total = 0;
    for (long i = 0; i < count; i += step) {
      uint32_t bits;
      memcpy(&bits, at + i, 4);
      total += bits;
    }
    return total;
  }
  long step() const { return count / 64 | 1; }  // odd, so that it meets many columns in turn
  void note() { some = sum(step()), all = sum(1); }
  bool same(bool wholly) const { return wholly ? sum(1) == all : sum(step()) == some; }
};

class Reader {
 public:
  explicit Reader(const int64_t* at) : at_(at) {}
  std::vector<Span> spans;

  long whole() { return *at_++; }
  double real() {
    double x;
    memcpy(&x, at_++, 8);
    return x;
  }
  const float* floats(long count) {  // where they lie; null: there are none
    const float* at = (const float*)*at_++;
    if (!at) return nullptr;
    spans.push_back({at, count, 0, 0});
    spans.back().note();
    return at;
  }
  const float* place() { return (const float*)*at_++; }  // read where it is, each time
  Floats copied(long count) {
    const float* at = floats(count);
    Floats all(padded(count, W));
    if (at) std::copy(at, at + count, all.begin());
    return all;
  }

 private:
  const int64_t* at_;
};

// What one thread needs on its way, kept from call to call.
struct Scratch {
  Floats x, normed, made, wide, mixed, scores, logits, sizes;
  std::vector<Cell> low;

  void release_if_large() {
    size_t floats = low.capacity();
    for (const Floats* each : {&x, &normed, &made, &wide, &mixed, &scores, &logits, &sizes}) floats += each->capacity();
    if (floats > size_t(8) << 20) *this = Scratch();
  }

  // Room for rows of a width; what lies between the width and the next row is never read as a number.
  static float* room(Floats& of, long rows, long width) {
    const size_t count = size_t(rows) * padded(width, W);
    if (of.size() < count) of.resize(count);
    return of.data();
  }
};
