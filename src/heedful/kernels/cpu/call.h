// One call, as the caller packs it: every field has 8 bytes, in this order (native.py has the same).
// Strides count items, and the last axis has stride 1; lengths are those of (batch, heads, length).
#pragma once
#include <cstddef>
#include <cstdint>

struct Call {
  int64_t size;  // of this struct, in bytes: caller and library must agree
  int64_t batch, heads, kv_heads, queries, keys, dim, value_dim;
  int64_t type;       // of query, key, value, output: 0 float, 1 bf16, 2 half
  int64_t bias_type;  // as type
  const char *query, *key, *value;
  char* output;
  float* log_sum;  // (batch, heads, queries), natural logarithm; -inf where nothing is visible
  int64_t query_stride[3], key_stride[3], value_stride[3], output_stride[3];
  double scale;
  // which query sees which key
  int64_t low, high, sinks;  // near: low <= j - i <= high; or j < sinks and j - i <= high
  const int64_t* lengths;    // (batch)
  const int64_t *query_ids, *key_ids;  // (batch, queries), (batch, keys)
  const uint8_t* grid;
  int64_t grid_stride[4], block;
  const uint8_t* dense;
  int64_t dense_stride[4];
  const char* bias;
  int64_t bias_stride[4];
  // backward only; gradients lie as the tensors they belong to are described here
  const float* by_log_sum;  // (batch, heads, queries), or null
  const char* by_output;
  int64_t by_output_stride[3];
  char *by_query, *by_key, *by_value;
  int64_t by_query_stride[3], by_key_stride[3], by_value_stride[3];
  float* by_bias;  // (batch, heads, queries, keys), zeros; or null
  // what the library notes: was something written that is NaN or inf?
  mutable int64_t spoilt;
};

// What is packed: all but the note.
constexpr int64_t PACKED = offsetof(Call, spoilt);
