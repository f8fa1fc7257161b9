// The recurrent encoder-decoder: a bidirectional encoder, and a decoder that looks back at its states.
#pragma once
#include <array>
#include <numeric>
#include "curves.h"
#include "text.h"

// One layer of a GRU or an LSTM in one direction, a place at a time.
struct RecurrentCell {
  bool lstm = false;
  long hidden = 0;
  Linear input, state;  // gates of what comes in and of the state before

  void read(Reader& from) { lstm = from.whole(), hidden = from.whole(), input.read(from), state.read(from); }
  long gates() const { return padded(input.outs, W); }

  // The next state, and the next memory of an LSTM, in the place of the last.
  void step(const float* in, const float* back, float* now, float* memory) const {
    for (long c = 0; c < hidden; c += W) {
      const long left = hidden - c;
      const auto of = [&](const float* gates, long gate) { return load_some(gates + gate * hidden + c, left); };
      if (lstm) {
        const vec kept = sigmoid(of(in, 1) + of(back, 1)) * load_some(memory + c, left);
        const vec carried = kept + sigmoid(of(in, 0) + of(back, 0)) * tanh(of(in, 2) + of(back, 2));
        store_some(memory + c, carried, left);
        store_some(now + c, sigmoid(of(in, 3) + of(back, 3)) * tanh(carried), left);
      } else {
        const vec reset = sigmoid(of(in, 0) + of(back, 0)), old = sigmoid(of(in, 1) + of(back, 1));
        const vec made = tanh(of(in, 2) + reset * of(back, 2));
        store_some(now + c, made + old * (load_some(now + c, left) - made), left);
      }
    }
  }

  // Whole texts, from their beginnings or from their ends: states at every place, `apart` from each other,
  // and the last state of each text.
  void read_texts(const float* x, long x_apart, const std::vector<Stretch>& texts, bool backwards, float* to, long apart,
                  Floats& last, Scratch& scratch) const {
    const long row = padded(hidden, W), count = long(texts.size());
    Floats in(all_of(texts) * gates()), back(count * gates()), memory(count * row), now(count * row);
    input.times(x, x_apart, all_of(texts), in.data(), scratch);
    std::vector<long> order(count);  // the longest first: those that go on are always the first
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](long a, long b) { return texts[a].count > texts[b].count; });
    long active = count;
    for (long t = 0; count && t < texts[order[0]].count; t++) {
      while (texts[order[active - 1]].count <= t) active--;
      state.times(now.data(), row, active, back.data(), scratch);
      for (long r = 0; r < active; r++) {
        const Stretch& text = texts[order[r]];
        const long at = text.first + (backwards ? text.count - 1 - t : t);
        step(&in[at * gates()], &back[r * gates()], &now[r * row], &memory[r * row]);
        std::copy_n(&now[r * row], hidden, to + at * apart);
      }
    }
    last.resize(count * row);
    for (long r = 0; r < count; r++) std::copy_n(&now[r * row], row, &last[order[r] * row]);
  }
};

// How a decoder's state compares with the encoder's: tanh in a common space, or a dot product.
struct Aligner {
  long kind = 0;  // 0: there is none; 1: tanh; 2: a dot product
  bool asks = false, projects = false;
  float scale = 1;
  Linear query, key;
  Floats score;

  void read(Reader& from) {
    kind = from.whole();
    if (!kind) return;
    scale = float(from.real());
    if ((asks = from.whole())) query.read(from);
    if ((projects = from.whole())) key.read(from);
    if (kind == 1) score = from.copied(key.outs);
  }

  // The weights of `count` states, before they are divided by their sum, which is returned.
  float weigh(const float* asked, const float* prepared, long apart, long count, long width, float* weights) const {
    float most = -INFINITY, total = 0;
    for (long j = 0; j < count; j++) {
      vec sum = {};
      for (long d = 0; d < width; d += W) {
        const vec a = load_some(asked + d, width - d), b = load_some(prepared + j * apart + d, width - d);
        sum += kind == 1 ? tanh(a + b) * load(&score[d]) : a * b;
      }
      weights[j] = sum_of(sum) * scale * LOG2E;
      most = std::max(most, weights[j]);
    }
    for (long j = 0; j < count; j += W) {
      const vec power = exp2<Fine>(load_some(weights + j, count - j) - most);
      store_some(weights + j, power, count - j);
    }
    for (long j = 0; j < count; j++) total += weights[j];
    return total;
  }
};

class Recurrent : public Network {
 public:
  explicit Recurrent(Reader& from) {
    shortest = 1;
    const long width = from.whole();
    source.read(from, width), target.read(from, width);
    layers_.resize(from.whole());
    for (auto& layer : layers_) layer[0].read(from), layer[1].read(from);
    bridge_.read(from), decoder_.read(from), aligner_.read(from), combine_.read(from), out.read(from);
    fed_ = from.whole();
  }

  std::vector<Row> read(const std::vector<const int64_t*>& tokens, const std::vector<long>& lengths, Memory& to,
                        Scratch& scratch) const override {
    std::vector<Stretch> texts;
    for (const long length : lengths) texts.push_back({all_of(texts), length});
    const long positions = all_of(texts), hidden = decoder_.hidden, row = padded(hidden, W);
    long apart = padded(source.width, W);
    Floats x(positions * apart), last[2];
    for (size_t t = 0; t < texts.size(); t++)
      for (long i = 0; i < texts[t].count; i++) source.row(tokens[t][i], i, &x[(texts[t].first + i) * apart]);
    for (const auto& layer : layers_) {
      Floats states(positions * wide() + W);
      for (int side = 0; side < 2; side++)
        layer[side].read_texts(x.data(), apart, texts, side, states.data() + side * hidden, wide(), last[side], scratch);
      x.swap(states), apart = wide();
    }
    Floats prepared(aligner_.projects ? positions * padded(aligner_.key.outs, W) : 0);
    if (aligner_.projects) aligner_.key.times(x.data(), apart, positions, prepared.data(), scratch);
    std::vector<Row> rows;
    for (size_t t = 0; t < texts.size(); t++) {
      Floats summary(wide()), first(padded(bridge_.outs, W));
      for (int side = 0; side < 2; side++) std::copy_n(&last[side][t * row], hidden, &summary[side * hidden]);
      bridge_.times(summary.data(), wide(), 1, first.data(), scratch);
      for (size_t c = 0; c < first.size(); c += W) store(&first[c], tanh(load(&first[c])));
      Floats state(first.begin(), first.begin() + hidden), memory(row);
      if (decoder_.lstm) std::copy_n(first.begin() + hidden, hidden, memory.begin());
      state.resize(row);
      rows.push_back({texts[t].first, texts[t].count, 0, {state, memory, Floats(row), summary}});
    }
    to.seen = {std::move(x), std::move(prepared)};
    return rows;
  }

  float* step(const int64_t* tokens, Row** rows, long count, const Memory& memory, Scratch& scratch) const override {
    const long hidden = decoder_.hidden, row = padded(hidden, W), apart = padded(decoder_.input.ins, W);
    float* x = Scratch::room(scratch.x, count, apart);
    float* now = Scratch::room(scratch.normed, count, row);
    for (long r = 0; r < count; r++) {
      target.row(tokens[r], rows[r]->written, x + r * apart);
      if (fed_) std::copy_n(rows[r]->past[FED].data(), hidden, x + r * apart + target.width);
      std::copy_n(rows[r]->past[STATE].data(), row, now + r * row);
    }
    float *in = Scratch::room(scratch.wide, count, decoder_.gates()), *back = Scratch::room(scratch.made, count, decoder_.gates());
    decoder_.input.times(x, apart, count, in, scratch);
    decoder_.state.times(now, row, count, back, scratch);
    for (long r = 0; r < count; r++) {
      decoder_.step(in + r * decoder_.gates(), back + r * decoder_.gates(), now + r * row, rows[r]->past[MEMORY].data());
      std::copy_n(now + r * row, row, rows[r]->past[STATE].data());
    }
    float* made = look(now, rows, count, memory, scratch);
    for (long r = 0; r < count; r++) {
      for (long c = 0; c < row; c += W) store(made + r * row + c, tanh(load(made + r * row + c)));
      std::copy_n(made + r * row, row, rows[r]->past[FED].data());
      rows[r]->written++;
    }
    float* logits = Scratch::room(scratch.logits, count, out.outs);
    out.times(made, row, count, logits, scratch);
    return logits;
  }

 private:
  enum { STATE, MEMORY, FED, SUMMARY };  // what a text keeps
  std::vector<std::array<RecurrentCell, 2>> layers_;
  Linear bridge_, combine_;
  RecurrentCell decoder_;
  Aligner aligner_;
  bool fed_ = false;

  long wide() const { return padded(2 * decoder_.hidden, W); }

  // States and what they look at, combined.
  float* look(const float* now, Row** rows, long count, const Memory& memory, Scratch& scratch) const {
    const long hidden = decoder_.hidden, row = padded(hidden, W), both = padded(3 * hidden, W);
    const long width = aligner_.asks ? aligner_.query.outs : hidden;
    const float* asked = now;
    if (aligner_.asks) {
      float* to = Scratch::room(scratch.wide, count, width);
      aligner_.query.times(now, row, count, to, scratch);
      asked = to;
    }
    const Floats& prepared = memory.seen[aligner_.projects ? 1 : 0];
    const long apart = aligner_.projects ? padded(aligner_.key.outs, W) : wide();
    float* mixed = Scratch::room(scratch.mixed, count, both + W);
    for (long r = 0; r < count; r++) {
      float *to = mixed + r * both, *context = to + hidden;
      std::copy_n(now + r * row, hidden, to);
      if (!aligner_.kind) {
        std::copy_n(rows[r]->past[SUMMARY].data(), 2 * hidden, context);
        continue;
      }
      const long first = rows[r]->first, keys = rows[r]->count;
      float* weights = Scratch::room(scratch.scores, 1, keys);
      const float total =
          aligner_.weigh(asked + r * padded(width, W), prepared.data() + first * apart, apart, keys, width, weights);
      for (long d = 0; d < 2 * hidden; d += W) {
        vec sum = {};
        for (long j = 0; j < keys; j++) sum += weights[j] * load_some(&memory.seen[0][(first + j) * wide() + d], 2 * hidden - d);
        store_some(context + d, sum * (1 / total), 2 * hidden - d);
      }
    }
    float* made = Scratch::room(scratch.made, count, row);
    combine_.times(mixed, both, count, made, scratch);
    return made;
  }
};
