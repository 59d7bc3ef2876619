// Masks by state, of one grammar: the oldest goes when there are too many.
#pragma once
#include <dlpack/dlpack.h>
#include <xgrammar/xgrammar.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "chart_key.h"

class MaskCache {
 public:
  struct Mask {
    std::vector<uint32_t> words;
    bool applies;  // false: every token is allowed
  };

  const Mask* find(const ChartKey& key) const {
    auto found = masks_.find(key);
    return found == masks_.end() ? nullptr : &found->second;
  }

  void add(const ChartKey& key, Mask mask) {
    bytes_ += mask.words.size() * sizeof(uint32_t);
    masks_.emplace(key, std::move(mask));
    order_.push_back(key);
    while (bytes_ > kMaxBytes && order_.size() > 1) {
      auto oldest = masks_.find(order_.front());
      bytes_ -= oldest->second.words.size() * sizeof(uint32_t);
      masks_.erase(oldest);
      order_.pop_front();
    }
  }

 private:
  static constexpr std::size_t kMaxBytes = 8 << 20;  // 512 masks of a vocabulary of 128k
  std::unordered_map<ChartKey, Mask, ChartKeyHash> masks_;
  std::deque<ChartKey> order_;
  std::size_t bytes_ = 0;
};

inline bool fill_mask(xgrammar::GrammarMatcher& matcher, uint32_t* mask, int words) {
  int64_t shape[1] = {words}, strides[1] = {1};
  DLTensor tensor{};
  tensor.data = mask;
  tensor.device = {kDLCPU, 0};
  tensor.ndim = 1;
  tensor.dtype = xgrammar::GetBitmaskDLType();
  tensor.shape = shape;
  tensor.strides = strides;
  return matcher.FillNextTokenBitmask(&tensor);
}
