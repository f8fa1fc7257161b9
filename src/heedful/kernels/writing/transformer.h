// The encoder-decoder Transformer: sources are read as one row of positions, without padding, and each
// text that is written goes on by itself.
#pragma once
#include "site.h"

struct Norm {
  long width = 0;
  float small = 0;
  Floats weight, bias;

  void read(Reader& from) {
    width = from.whole();  // 0: there is none
    if (width) small = float(from.real()), weight = from.copied(width), bias = from.copied(width);
  }

  void run(const float* x, long apart, long rows, float* to) const {
    for (long r = 0; r < rows; r++) row(x + r * apart, to + r * apart);
  }

 private:
  void row(const float* x, float* to) const {
    vec sum = {}, squares = {};
    for (long d = 0; d < width; d += W) sum += load_some(x + d, width - d);
    const float mean = sum_of(sum) / float(width);
    const vec lane_mean = spread(mean);
    for (long d = 0; d < width; d += W) {
      vec apart = load_some(x + d, width - d) - lane_mean;
      for (long k = std::max<long>(0, width - d); k < W; k++) apart[k] = 0;
      squares += apart * apart;
    }
    const float factor = 1 / std::sqrt(sum_of(squares) / float(width) + small);
    for (long d = 0; d < width; d += W)
      store_some(to + d, (load_some(x + d, width - d) - lane_mean) * factor * load(&weight[d]) + load(&bias[d]), width - d);
  }
};

// Adds what a part makes of x to x, normalised before it or after the sum.
struct Residual {
  bool before = true;
  Norm norm;

  void read(Reader& from) { before = from.whole(), norm.read(from); }

  template <class Part>
  void run(float* x, long apart, long rows, bool constant, Scratch& scratch, Part part) const {
    float* made = Scratch::room(scratch.made, rows, apart);
    const float* in = x;
    if (before && !constant) {
      float* normed = Scratch::room(scratch.normed, rows, apart);
      norm.run(x, apart, rows, normed);
      in = normed;
    }
    part(in, made);
    for (long i = 0; i < rows * apart; i += W) store(x + i, load(x + i) + load(made + i));
    if (!before) norm.run(x, apart, rows, x);
  }
};

struct FeedForward {
  Residual residual;
  Linear inner, outer;

  void read(Reader& from) { residual.read(from), inner.read(from), outer.read(from); }

  void run(float* x, long apart, long rows, Scratch& scratch) const {
    residual.run(x, apart, rows, false, scratch, [&](const float* in, float* to) {
      const long wide = padded(inner.outs, W);
      float* hidden = Scratch::room(scratch.wide, rows, wide);
      inner.times(in, apart, rows, hidden, scratch);
      for (long i = 0; i < rows * wide; i += W) store(hidden + i, load(hidden + i) < 0 ? vec{} : load(hidden + i));
      outer.times(hidden, wide, rows, to, scratch);
    });
  }
};

struct EncoderLayer {
  Residual residual;
  std::unique_ptr<Site> own;
  FeedForward feedforward;

  EncoderLayer(Reader& from, long width) {
    residual.read(from);
    own = site_of(from, width);
    feedforward.read(from);
  }
};

struct DecoderLayer {
  Residual own_residual, cross_residual;
  std::unique_ptr<Site> own;
  std::unique_ptr<CrossAttention> cross;  // or what is left of it
  std::unique_ptr<Constant> nothing;
  FeedForward feedforward;

  DecoderLayer(Reader& from, long width) {
    own_residual.read(from);
    own = site_of(from, width);
    cross_residual.read(from);
    if (from.whole()) cross.reset(new CrossAttention(from));
    else nothing.reset(new Constant(from, width));
    feedforward.read(from);
  }
};

class Transformer : public Network {
 public:
  long width = 0, apart = 0;
  Norm encoder_norm, decoder_norm;
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;

  explicit Transformer(Reader& from) {
    width = from.whole(), apart = padded(width, W);
    source.read(from, width), target.read(from, width);
    for (long layers = from.whole(); layers > 0; layers--) encoder.emplace_back(from, width);
    encoder_norm.read(from);
    for (long layers = from.whole(); layers > 0; layers--) decoder.emplace_back(from, width);
    decoder_norm.read(from);
    out.read(from);
  }

  std::vector<Row> read(const std::vector<const int64_t*>& tokens, const std::vector<long>& lengths, Memory& to,
                        Scratch& scratch) const override {
    std::vector<Stretch> texts;
    for (const long length : lengths) texts.push_back({all_of(texts), length});
    const long positions = all_of(texts);
    float* x = Scratch::room(scratch.x, positions, width);
    for (size_t t = 0; t < texts.size(); t++)
      for (long i = 0; i < texts[t].count; i++) source.row(tokens[t][i], i, x + (texts[t].first + i) * apart);
    for (const EncoderLayer& layer : encoder) {
      layer.residual.run(x, apart, positions, layer.own->constant(), scratch, [&](const float* in, float* made) {
        layer.own->read_texts(in, apart, texts, made, scratch);
      });
      layer.feedforward.run(x, apart, positions, scratch);
    }
    if (encoder_norm.width) encoder_norm.run(x, apart, positions, x);
    for (const DecoderLayer& layer : decoder) {
      to.seen.emplace_back(layer.cross ? positions * layer.cross->wide() : 0);
      if (layer.cross) layer.cross->prepare(x, apart, positions, to.seen.back().data(), scratch);
    }
    std::vector<Row> rows;
    for (const Stretch& text : texts) rows.push_back({text.first, text.count, 0, std::vector<Floats>(decoder.size())});
    return rows;
  }

  float* step(const int64_t* tokens, Row** rows, long count, const Memory& memory, Scratch& scratch) const override {
    float* x = Scratch::room(scratch.x, count, width);
    for (long r = 0; r < count; r++) target.row(tokens[r], rows[r]->written, x + r * apart);
    for (size_t l = 0; l < decoder.size(); l++) {
      const DecoderLayer& layer = decoder[l];
      layer.own_residual.run(x, apart, count, layer.own->constant(), scratch, [&](const float* in, float* made) {
        layer.own->step(in, apart, rows, count, l, made, scratch);
      });
      layer.cross_residual.run(x, apart, count, !layer.cross, scratch, [&](const float* in, float* made) {
        if (layer.cross) layer.cross->step(in, apart, rows, count, memory.seen[l], made, scratch);
        else layer.nothing->fill(count, apart, made);
      });
      layer.feedforward.run(x, apart, count, scratch);
    }
    for (long r = 0; r < count; r++) rows[r]->written++;
    if (decoder_norm.width) decoder_norm.run(x, apart, count, x);
    float* logits = Scratch::room(scratch.logits, count, padded(out.outs, W));
    out.times(x, apart, count, logits, scratch);
    return logits;
  }
};
