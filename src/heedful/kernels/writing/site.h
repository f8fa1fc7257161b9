// What mixes the positions of a text: attention, or what stands in its place.
#pragma once
#include "curves.h"
#include "look.h"
#include "product.h"
#include "text.h"

class Site {
 public:
  virtual ~Site() = default;
  virtual bool constant() const { return false; }

  // All positions of these texts; x and `to` hold one after the other.
  virtual void read_texts(const float* x, long apart, const std::vector<Stretch>& texts, float* to, Scratch& scratch) const = 0;
  // One more position of each of these rows.
  virtual void step(const float* x, long apart, Row** rows, long count, long layer, float* to, Scratch& scratch) const = 0;
};

// What comes out of the layer in front of a mixing, and room for what the layer behind it reads; a row
// begins so many numbers after the one before it.
struct Rooms {
  long wide;
  float* inner;
  long mixed;
  float* out;
};

inline Rooms rooms(const Linear& front, const Linear& behind, const float* x, long apart, long rows, Scratch& scratch) {
  const long wide = padded(front.outs, W), mixed = padded(behind.ins, W);
  float* inner = Scratch::room(scratch.wide, rows, wide);
  front.times(x, apart, rows, inner, scratch);
  return {wide, inner, mixed, Scratch::room(scratch.mixed, rows, mixed)};
}

class Constant : public Site {
 public:
  explicit Constant(Reader& from, long width) : vector_(from.copied(width)) {}
  bool constant() const override { return true; }

  void read_texts(const float*, long apart, const std::vector<Stretch>& texts, float* to, Scratch&) const override {
    for (const Stretch& text : texts) fill(text.count, apart, to + text.first * apart);
  }
  void step(const float*, long apart, Row**, long count, long, float* to, Scratch&) const override { fill(count, apart, to); }
  void fill(long count, long apart, float* to) const {
    for (long i = 0; i < count; i++) std::copy(vector_.begin(), vector_.end(), to + i * apart);
  }

 private:
  const Floats vector_;
};

class SelfAttention : public Site {
 public:
  explicit SelfAttention(Reader& from) { heads_.read(from), inner_.read(from), out_.read(from); }

  void read_texts(const float* x, long apart, const std::vector<Stretch>& texts, float* to, Scratch& scratch) const override {
    const long positions = all_of(texts);
    const auto [wide, inner, mixed, out] = rooms(inner_, out_, x, apart, positions, scratch);
    for (const Stretch& text : texts) {
      float* first = inner + text.first * wide;
      for (long i = 0; i < text.count; i++) turn(first + i * wide, i);
      for (long i = 0; i < text.count; i++)
        heads_.look(first + i * wide, first + query(), wide, text.count, i, out + (text.first + i) * mixed, scratch.scores);
    }
    out_.times(out, mixed, positions, to, scratch);
  }

  void step(const float* x, long apart, Row** rows, long count, long layer, float* to, Scratch& scratch) const override {
    const auto [wide, inner, mixed, out] = rooms(inner_, out_, x, apart, count, scratch);
    for (long r = 0; r < count; r++) {
      float* first = inner + r * wide;
      Floats& past = rows[r]->past[layer];
      turn(first, rows[r]->written);
      past.insert(past.end(), first + query(), first + inner_.outs);
      heads_.look(first, past.data(), heads_.wide(), rows[r]->written + 1, rows[r]->written, out + r * mixed, scratch.scores);
    }
    out_.times(out, mixed, count, to, scratch);
  }

 private:
  Heads heads_;
  Linear inner_, out_;  // inner: queries, keys, values

  long query() const { return heads_.heads * heads_.dim; }
  void turn(float* inner, long position) const {
    if (!heads_.rotary) return;
    heads_.rotary->turn(inner, heads_.heads, position);
    heads_.rotary->turn(inner + query(), heads_.kv_heads, position);
  }
};

// Attention to what was read.
class CrossAttention {
 public:
  explicit CrossAttention(Reader& from) { heads_.read(from), query_.read(from), inner_.read(from), out_.read(from); }

  long wide() const { return padded(inner_.outs, W); }  // of one position's keys and values
  void prepare(const float* states, long apart, long positions, float* to, Scratch& scratch) const {
    inner_.times(states, apart, positions, to, scratch);
  }

  void step(const float* x, long apart, Row** rows, long count, const Floats& seen, float* to, Scratch& scratch) const {
    const auto [asked, query, mixed, out] = rooms(query_, out_, x, apart, count, scratch);
    for (long r = 0; r < count; r++)
      heads_.look(query + r * asked, seen.data() + rows[r]->first * wide(), wide(), rows[r]->count, -1, out + r * mixed, scratch.scores);
    out_.times(out, mixed, count, to, scratch);
  }

 private:
  Heads heads_;
  Linear query_, inner_, out_;  // inner: keys, values
};

class Recurrence : public Site {
 public:
  explicit Recurrence(Reader& from) { inner_.read(from), out_.read(from); }

  void read_texts(const float* x, long apart, const std::vector<Stretch>& texts, float* to, Scratch& scratch) const override {
    const long positions = all_of(texts);
    const auto [wide, inner, mixed, out] = rooms(inner_, out_, x, apart, positions, scratch);
    for (const Stretch& text : texts)
      for (long i = text.first; i < text.first + text.count; i++)
        carry(inner + i * wide, i == text.first ? nullptr : out + (i - 1) * mixed, out + i * mixed);
    out_.times(out, mixed, positions, to, scratch);
  }

  void step(const float* x, long apart, Row** rows, long count, long layer, float* to, Scratch& scratch) const override {
    const auto [wide, inner, mixed, out] = rooms(inner_, out_, x, apart, count, scratch);
    for (long r = 0; r < count; r++) {
      Floats& past = rows[r]->past[layer];
      carry(inner + r * wide, past.empty() ? nullptr : past.data(), out + r * mixed);
      past.assign(out + r * mixed, out + r * mixed + out_.ins);
    }
    out_.times(out, mixed, count, to, scratch);
  }

 private:
  Linear inner_, out_;  // inner: what comes in, then what is forgotten

  void carry(const float* inner, const float* before, float* to) const {
    for (long c = 0; c < out_.ins; c += W) {
      const long left = out_.ins - c;
      const vec kept = sigmoid(load_some(inner + c + out_.ins, left)), now = load_some(inner + c, left);
      store_some(to + c, now + kept * ((before ? load_some(before + c, left) : vec{}) - now), left);
    }
  }
};

class Convolution : public Site {
 public:
  explicit Convolution(Reader& from) {
    kernel_ = from.whole(), inner_.read(from);
    taps_ = from.copied(kernel_ * inner_.outs / 2);
    out_.read(from);
  }

  void read_texts(const float* x, long apart, const std::vector<Stretch>& texts, float* to, Scratch& scratch) const override {
    const long positions = all_of(texts);
    const auto [wide, inner, mixed, out] = rooms(inner_, out_, x, apart, positions, scratch);
    for (long i = 0; i < positions; i++) gate(inner + i * wide);
    for (const Stretch& text : texts)
      for (long i = 0; i < text.count; i++)
        mix(inner + text.first * wide, wide, text.count, i, out + (text.first + i) * mixed);
    out_.times(out, mixed, positions, to, scratch);
  }

  void step(const float* x, long apart, Row** rows, long count, long layer, float* to, Scratch& scratch) const override {
    const auto [wide, inner, mixed, out] = rooms(inner_, out_, x, apart, count, scratch);
    for (long r = 0; r < count; r++) {
      Floats& past = rows[r]->past[layer];
      gate(inner + r * wide);
      past.insert(past.end(), inner + r * wide, inner + r * wide + out_.ins);
      mix(past.data(), out_.ins, rows[r]->written + 1, rows[r]->written, out + r * mixed);
    }
    out_.times(out, mixed, count, to, scratch);
  }

 private:
  long kernel_ = 1;
  Linear inner_, out_;
  Floats taps_;  // (width, kernel)

  void gate(float* inner) const {
    for (long c = 0; c < out_.ins; c += W) {
      const long left = out_.ins - c;
      store_some(inner + c, load_some(inner + c, left) * sigmoid(load_some(inner + c + out_.ins, left)), left);
    }
  }
  void mix(const float* gated, long apart, long count, long position, float* to) const {
    std::fill(to, to + out_.ins, 0.0f);
    const long first = position - kernel_ / 2;
    for (long p = std::max<long>(0, first); p < std::min(count, first + kernel_); p++)
      for (long c = 0; c < out_.ins; c++) to[c] += taps_[c * kernel_ + p - first] * gated[p * apart + c];
  }
};

inline std::unique_ptr<Site> site_of(Reader& from, long width) {
  switch (from.whole()) {
    case 0: return std::unique_ptr<Site>(new Constant(from, width));
    case 1: return std::unique_ptr<Site>(new SelfAttention(from));
    case 2: return std::unique_ptr<Site>(new Recurrence(from));
    default: return std::unique_ptr<Site>(new Convolution(from));
  }
}
