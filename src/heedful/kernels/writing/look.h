// What one query makes of the keys that it sees: a handful to some hundreds, one head after the other.
#pragma once
#include <atomic>
#include <climits>
#include <functional>
#include <memory>
#include <mutex>
#include "network.h"
#include "../cpu/softmax.h"

// A row of numbers for every position, made when it is first asked for.
class Table {
 public:
  static constexpr long BLOCK = 64, BLOCKS = 1024, MOST = BLOCK * BLOCKS;  // positions

  Table(long size, std::function<void(long, float*)> fill) : size_(size), fill_(std::move(fill)), blocks_(BLOCKS) {}
  ~Table() {
    for (auto& block : blocks_) delete[] block.load();
  }

  const float* row(long position) {
    const float* block = blocks_[position / BLOCK].load(std::memory_order_acquire);
    return (block ? block : make(position / BLOCK)) + position % BLOCK * size_;
  }

 private:
  const long size_;
  const std::function<void(long, float*)> fill_;
  std::vector<std::atomic<const float*>> blocks_;
  std::mutex making_;

  const float* make(long number) {
    const std::lock_guard<std::mutex> alone(making_);
    if (const float* made = blocks_[number].load()) return made;
    std::unique_ptr<float[]> block(new float[BLOCK * size_]);
    for (long p = 0; p < BLOCK; p++) fill_(number * BLOCK + p, &block[p * size_]);
    blocks_[number].store(block.get(), std::memory_order_release);
    return block.release();
  }
};

// Rotates pairs (i, i + dim / 2) of queries and keys.
struct Rotary {
  long half = 0;
  std::unique_ptr<Table> angles;  // cosines, then sines

  void read(Reader& from) {
    const double base = from.real(), whole = from.whole();
    half = from.whole();
    std::vector<double> pace(half);
    for (double& each : pace) each = std::pow(base, -2.0 * from.whole() / whole);
    angles.reset(new Table(2 * half, [pace](long position, float* to) {
      for (size_t i = 0; i < pace.size(); i++) {
        to[i] = float(std::cos(position * pace[i]));
        to[i + pace.size()] = float(std::sin(position * pace[i]));
      }
    }));
  }

  void turn(float* x, long heads, long position) const {
    const float* by = angles->row(position);
    for (long h = 0; h < heads; h++, x += 2 * half)
      for (long i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half];
        x[i] = a * by[i] - b * by[i + half];
        x[i + half] = b * by[i] + a * by[i + half];
      }
  }
};

// Adds to every score a number for its head and its distance, in buckets.
struct Relative {
  std::vector<int> bucket;  // of each distance; the last one's is that of all beyond
  long heads = 0, ahead = 0;
  Floats table;  // (buckets, heads)

  void read(Reader& from, long of_heads) {
    heads = of_heads;
    const long buckets = from.whole();
    ahead = buckets / 2;
    std::vector<long> starts(from.whole());
    for (long& start : starts) start = from.whole();
    for (long distance = 0, b = 0; distance <= starts.back(); distance++) {
      while (b + 1 < long(starts.size()) && starts[b + 1] <= distance) b++;
      bucket.push_back(int(b));
    }
    table = from.copied(buckets * heads);
  }

  float at(long head, long key, long query) const {
    const long distance = std::min<long>(std::labs(key - query), long(bucket.size()) - 1);
    return table[(bucket[distance] + (key > query ? ahead : 0)) * heads + head];
  }
};

// Which keys a query sees: at most two runs of neighbours.
struct Runs {
  long first[2], end[2];

  Runs(long count, long query, long window, long ahead, long sinks) {
    const long stop = query < 0 || ahead >= count ? count : std::min(count, query + ahead + 1);
    const long near = query < 0 ? 0 : std::max<long>(0, query - window + 1);
    first[0] = 0, end[0] = near <= sinks ? 0 : std::min(sinks, stop);
    first[1] = near <= sinks ? 0 : near, end[1] = stop;
  }
  long count() const { return end[0] - first[0] + std::max<long>(0, end[1] - first[1]); }
};

struct Heads {
  long heads = 0, kv_heads = 0, dim = 0, value_dim = 0, window = LONG_MAX / 2, ahead = LONG_MAX / 2, sinks = 0;
  float scale = 1;
  std::unique_ptr<Rotary> rotary;
  std::unique_ptr<Relative> relative;

  long keys_wide() const { return kv_heads * dim; }
  long wide() const { return kv_heads * (dim + value_dim); }  // of one position: keys, then values

  void read(Reader& from) {
    heads = from.whole(), kv_heads = from.whole(), dim = from.whole(), value_dim = from.whole();
    scale = float(from.real());
    if (const long near = from.whole()) window = near, ahead = from.whole(), sinks = from.whole();
    const long positions = from.whole();
    if (positions == 1) rotary.reset(new Rotary), rotary->read(from);
    if (positions == 2) relative.reset(new Relative), relative->read(from, heads);
  }

  // One query, at its position among the keys or, in another text, at -1.
  void look(const float* query, const float* past, long apart, long count, long position, float* to, Floats& scores) const {
    const Runs runs(count, position, window, ahead, sinks);
    const long seen = runs.count();
    if (!seen) return std::fill(to, to + heads * value_dim, 0.0f);
    float* s = Scratch::room(scores, 1, seen + 2 * W);
    for (long h = 0; h < heads; h++) {
      const long shared = h / (heads / kv_heads);
      long at = 0;
      for (int run = 0; run < 2; run++) {
        for (long j = runs.first[run]; j < runs.end[run]; j += W)
          store(s + at + j - runs.first[run],
                met(query + h * dim, past + j * apart + shared * dim, apart, runs.end[run] - j, h, j, position));
        at += std::max<long>(0, runs.end[run] - runs.first[run]);
      }
      store(s + seen, spread(-INFINITY));
      const float total = powers(s, seen, largest(s, seen));
      add(s, runs, past + keys_wide() + shared * value_dim, apart, 1 / total, to + h * value_dim);
    }
  }

 private:
  // The scores of up to W keys, in powers of two.
  vec met(const float* query, const float* key, long apart, long left, long head, long first, long position) const {
    vec x[W];
    for (long k = 0; k < W; k++) {
      x[k] = vec{};
      if (k < left)
        for (long d = 0; d < dim; d += W) x[k] += load_some(query + d, dim - d) * load_some(key + k * apart + d, dim - d);
    }
    vec all = sums_of(x) * scale;
    if (relative)
      for (long k = 0; k < W && k < left; k++) all[k] += relative->at(head, first + k, position);
    return all * LOG2E;
  }

  static float largest(const float* s, long count) {
    vec most = spread(-INFINITY);
    for (long k = 0; k < count; k += W) most = larger(most, load(s + k));
    return largest_of(most);
  }

  static float powers(float* s, long count, float most) {
    vec total = {};
    for (long k = 0; k < count; k += W) {
      const vec power = exp2<Fine>(load(s + k) - most);
      store(s + k, power);
      total += power;
    }
    return sum_of(total);
  }

  void add(const float* weights, const Runs& runs, const float* values, long apart, float share, float* to) const {
    for (long d = 0; d < value_dim; d += W) {
      vec sum = {};
      const float* w = weights;
      for (int run = 0; run < 2; run++)
        for (long j = runs.first[run]; j < runs.end[run]; j++) sum += *w++ * load_some(values + j * apart + d, value_dim - d);
      store_some(to + d, sum * share, value_dim - d);
    }
  }
};
