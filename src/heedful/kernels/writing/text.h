// Texts that are read and written, and what every network does with them.
#pragma once
#include "look.h"
#include "product.h"

// A text that is being written: where it looks, and what its layers remember of what it says.
struct Row {
  long first = 0, count = 0;  // its source, among the positions of all sources
  long written = 0;
  std::vector<Floats> past;  // of each layer
};

struct Stretch {
  long first, count;  // positions of one text, among those of several
};

inline long all_of(const std::vector<Stretch>& texts) { return texts.empty() ? 0 : texts.back().first + texts.back().count; }

// Makes vectors of tokens.
struct Embedding {
  long size = 0, width = 0, longest = Table::MOST;  // of a text
  const float* table = nullptr;
  float scale = 1;
  std::unique_ptr<Table> places;

  void read(Reader& from, long of_width) {
    width = of_width, size = from.whole(), table = from.place(), scale = float(from.real());
    const long kind = from.whole();
    if (kind == 1) {
      const long n = width;
      places.reset(new Table(n, [n](long position, float* to) {
        for (long i = 0; i < n; i++) {
          const double angle = position * std::pow(1e4, -double(i / 2 * 2) / double(n));
          to[i] = float(i % 2 ? std::cos(angle) : std::sin(angle));
        }
      }));
    } else if (kind == 2) {
      const long count = longest = from.whole(), n = width;
      const float* learned = from.floats(count * width);
      places.reset(new Table(n, [learned, count, n](long position, float* to) {
        if (position < count) std::copy(learned + position * n, learned + (position + 1) * n, to);
      }));
    }
  }

  bool knows(int64_t token) const { return token >= 0 && token < size; }

  void row(int64_t token, long position, float* to) const {
    const float *x = table + token * width, *at = places ? places->row(position) : nullptr;
    for (long d = 0; d < width; d += W) {
      vec sum = load_some(x + d, width - d) * scale;
      if (at) sum += load_some(at + d, width - d);
      store_some(to + d, sum, width - d);
    }
  }
};

// What was read of some sources, one position after the other: e.g. keys and values of each layer.
struct Memory {
  std::vector<Floats> seen;
};

class Network {
 public:
  std::vector<Span> spans;
  Embedding source, target;
  Linear out;
  long shortest = 0;  // source that it can read

  virtual ~Network() = default;

  // Sources one behind the other, each with its tokens; returns a text to be written for each.
  virtual std::vector<Row> read(const std::vector<const int64_t*>& tokens, const std::vector<long>& lengths, Memory& to,
                                Scratch& scratch) const = 0;
  // Logits of the next tokens, rows padded(out.outs, W) apart, which lie in the scratch.
  virtual float* step(const int64_t* tokens, Row** rows, long count, const Memory& memory, Scratch& scratch) const = 0;
};
