// A translator's whole way from tokens to tokens, with a plain C interface.
#include <exception>
#include <new>
#include "../cpu/threads.h"
#include "recurrent.h"
#include "transformer.h"

namespace {
enum Code { DONE = 0, NO_MEMORY = 2, NOT_FINITE = 4, OUT_OF_RANGE = 5 };  // those of attention.cpp, and one more

struct Limits {
  int64_t bos, eos, most;  // most: tokens of a text
};

// Texts under way: what was read, and a row for each.
struct Writing {
  const Network& network;
  Memory memory;
  std::vector<std::unique_ptr<Row>> rows;
};

Scratch& own_scratch() {
  static thread_local Scratch scratch;
  return scratch;
}

// Read some of the sources: those of number `first`, `first + every`, and so on.
void start(Writing& to, const int64_t* tokens, long wide, const int64_t* lengths, long count, long first, long every) {
  std::vector<const int64_t*> of;
  std::vector<long> long_;
  for (long t = first; t < count; t += every) of.push_back(tokens + t * wide), long_.push_back(lengths[t]);
  for (Row& row : to.network.read(of, long_, to.memory, own_scratch())) to.rows.emplace_back(new Row(std::move(row)));
}

bool known(const Network& network, const int64_t* tokens, long wide, const int64_t* lengths, long count) {
  for (long t = 0; t < count; t++) {
    if (lengths[t] < network.shortest || lengths[t] > wide || lengths[t] > network.source.longest) return false;
    for (long i = 0; i < lengths[t]; i++)
      if (!network.source.knows(tokens[t * wide + i])) return false;
  }
  return true;
}

// The likeliest token, or -1 where not all scores are finite.
int64_t likeliest(const float* scores, long count) {
  vec most = spread(-INFINITY), sound = {};
  for (long k = 0; k < count; k += W) {
    const vec x = k + W <= count ? load(scores + k) : load_first(scores + k, count - k);
    sound += x - x;
    most = larger(most, k + W <= count ? x : load_first(scores + k, count - k));
  }
  if (!(sum_of(sound) == 0)) return -1;
  const float best = largest_of(most);
  for (long k = 0; k < count; k++)
    if (scores[k] == best) return k;
  return -1;
}

// Take the likeliest token at every step; rows that are finished leave.
Code write(Writing& at, const Limits& limits, long first, long every, int32_t* to, int64_t* counts) {
  Scratch& scratch = own_scratch();
  const Network& network = at.network;
  const long wide = padded(network.out.outs, W);
  std::vector<Row*> rows;
  std::vector<long> numbers;
  std::vector<int64_t> tokens(at.rows.size(), limits.bos);
  for (size_t r = 0; r < at.rows.size(); r++) rows.push_back(at.rows[r].get()), numbers.push_back(first + long(r) * every);
  for (const long number : numbers) counts[number] = 0;
  for (long written = 0; written < limits.most && !rows.empty(); written++) {
    if (written >= network.target.longest) return OUT_OF_RANGE;
    float* logits = network.step(tokens.data(), rows.data(), long(rows.size()), at.memory, scratch);
    size_t kept = 0;
    for (size_t r = 0; r < rows.size(); r++) {
      float* scores = logits + long(r) * wide;
      if (limits.bos != limits.eos) scores[limits.bos] = std::isfinite(scores[limits.bos]) ? LOWEST : scores[limits.bos];
      const int64_t token = likeliest(scores, network.out.outs);
      if (token < 0) return NOT_FINITE;
      if (token == limits.eos) continue;
      to[numbers[r] * limits.most + written] = int32_t(token);
      counts[numbers[r]]++;
      rows[kept] = rows[r], numbers[kept] = numbers[r], tokens[kept++] = token;
    }
    rows.resize(kept), numbers.resize(kept), tokens.resize(kept);
  }
  return DONE;
}

template <class Do>
int guarded(Do run) {
  int code = NO_MEMORY;
  try {
    code = run();
  } catch (const std::bad_alloc&) {
  }
  own_scratch().release_if_large();
  return code;
}
}

extern "C" {
// What a description says, ready for use; null without memory. Nothing of it is read again, except
// embeddings and what `heedful_network_same` compares.
void* heedful_network(const int64_t* description) {
  try {
    Reader from(description);
    std::unique_ptr<Network> made;
    if (from.whole()) made.reset(new Recurrent(from));
    else made.reset(new Transformer(from));
    made->spans = std::move(from.spans);
    return made.release();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void heedful_network_end(void* network) { delete (Network*)network; }

// Are the owner's numbers what they were? Looks at all of them or at some of each.
int64_t heedful_network_same(const void* network, int64_t wholly) {
  for (const Span& span : ((const Network*)network)->spans)
    if (!span.same(wholly)) return 0;
  return 1;
}

// Reads sources, and makes room to write a text for each; null where that cannot be, or without memory.
void* heedful_writing(const void* of, const int64_t* tokens, int64_t wide, const int64_t* lengths, int64_t count, int64_t most) {
  const Network& network = *(const Network*)of;
  if (!known(network, tokens, wide, lengths, count) || most > network.target.longest) return nullptr;
  std::unique_ptr<Writing> at;
  const int code = guarded([&] {
    at.reset(new Writing{network, {}, {}});
    start(*at, tokens, wide, lengths, count, 0, 1);
    return DONE;
  });
  return code == DONE ? at.release() : nullptr;
}

void heedful_writing_end(void* at) { delete (Writing*)at; }

// The scores of the token after the next ones, one row of scores for each text.
int64_t heedful_writing_step(void* of, const int64_t* tokens, float* to) {
  Writing& at = *(Writing*)of;
  const long count = long(at.rows.size()), outs = at.network.out.outs, wide = padded(outs, W);
  for (long r = 0; r < count; r++)
    if (!at.network.target.knows(tokens[r]) || at.rows[r]->written >= at.network.target.longest) return OUT_OF_RANGE;
  const int threads = threads_for(count / ROWS, double(count) * outs * at.network.out.ins);
  int worst = DONE;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(max : worst)
  for (int part = 0; part < threads; part++) {
    const long first = count * part / threads, some = count * (part + 1) / threads - first;
    const int code = guarded([&] {
      std::vector<Row*> rows;
      for (long r = 0; r < some; r++) rows.push_back(at.rows[first + r].get());
      const float* logits = at.network.step(tokens + first, rows.data(), some, at.memory, own_scratch());
      for (long r = 0; r < some; r++) std::copy(logits + r * wide, logits + r * wide + outs, to + (first + r) * outs);
      return DONE;
    });
    worst = std::max(worst, code);
  }
  return worst;
}

// Go on with these texts, in this order; one may be taken more than once.
int64_t heedful_writing_select(void* of, const int64_t* numbers, int64_t count) {
  Writing& at = *(Writing*)of;
  for (long r = 0; r < count; r++)
    if (numbers[r] < 0 || numbers[r] >= int64_t(at.rows.size())) return OUT_OF_RANGE;
  return guarded([&] {
    std::vector<std::unique_ptr<Row>> rows(count);
    for (long r = 0; r < count; r++) rows[r].reset(new Row(*at.rows[numbers[r]]));
    at.rows.swap(rows);
    return DONE;
  });
}

// Greedy: `to` has room for `most` tokens of each text.
int64_t heedful_write(const void* of, const int64_t* tokens, int64_t wide, const int64_t* lengths, int64_t count, int64_t bos,
                  int64_t eos, int64_t most, int32_t* to, int64_t* counts) {
  const Network& network = *(const Network*)of;
  if (!known(network, tokens, wide, lengths, count) || bos < 0 || bos >= std::min(network.target.size, network.out.outs)) return OUT_OF_RANGE;
  const int threads = threads_for(count, ALONE);
  int worst = DONE;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(max : worst)
  for (int part = 0; part < threads; part++) {
    const int code = guarded([&] {
      Writing at{network, {}, {}};
      start(at, tokens, wide, lengths, count, part, threads);
      return write(at, {bos, eos, most}, part, threads, to, counts);
    });
    worst = std::max(worst, code);
  }
  return worst;
}
}
