// Masks by state, of one grammar: the oldest goes when there are too many.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "chart.h"

class MaskCache {
 public:
  using Mask = std::vector<uint32_t>;

  const Mask* find(const ChartKey& key) const {
    auto found = masks_.find(key);
    return found == masks_.end() ? nullptr : &found->second;
  }

  void add(const ChartKey& key, Mask mask) {
    bytes_ += mask.size() * sizeof(uint32_t);
    masks_.emplace(key, std::move(mask));
    order_.push_back(key);
    while (bytes_ > kMaxBytes && order_.size() > 1) {
      auto oldest = masks_.find(order_.front());
      bytes_ -= oldest->second.size() * sizeof(uint32_t);
      masks_.erase(oldest);
      order_.pop_front();
    }
  }

  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kMaxBytes = 8 << 20;  // 512 masks of a vocabulary of 128k
  std::unordered_map<ChartKey, Mask, ChartKeyHash> masks_;
  std::deque<ChartKey> order_;
  std::size_t bytes_ = 0;
};
