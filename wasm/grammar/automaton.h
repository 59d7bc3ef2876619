// A grammar as an automaton over bytes, made as far as masks have asked for it: a state for each key of a chart, and where a byte
// leads from it. What was once parsed is a look-up from then on, so a mask is a walk over the tokens' tree.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "chart.h"
#include "trie.h"

class Automaton {
 public:
  explicit Automaton(const ByteClasses& classes) : classes_(classes) { clear(); }

  /**
   * Fills `mask` (`words` of it) for the place where `chart` stands, whose key is `key`. Stop tokens are not in it.
   * @param leads if asked for: of each token the state that it leads to, as `name` has it; 0 where it is not allowed, or takes no bytes
   */
  void fill(Chart& chart, const ChartKey& key, const Trie& trie, uint32_t* mask, int words,
            int32_t* leads = nullptr) {
    shrink();
    std::memset(mask, 0, words * sizeof(uint32_t));
    Walk walk{chart, std::vector<uint8_t>(trie.depth + 1), std::vector<uint8_t>(trie.depth + 1), 0};
    std::vector<int32_t> at(trie.depth + 1);
    at[0] = state(key, chart);
    Chart::Row* row = chart.begin();
    const Trie::Node* nodes = trie.nodes.data();
    const int32_t* ids = trie.ids.data();
    const uint32_t end = static_cast<uint32_t>(trie.nodes.size()) - 1;
    for (uint32_t i = 0; i < end;) {
      const Trie::Node& node = nodes[i];
      const std::size_t edge = static_cast<std::size_t>(at[node.depth - 1]) * classes_.count +
                               classes_.of[node.byte];
      walk.path[node.depth] = node.byte;
      int32_t to = next_[edge];
      if (to < kDead) {
        const int32_t from = at[node.depth - 1], group = to;
        to = explore(walk, node.depth);
        learn(from, group, to);
      }
      if (to == kDead) {
        i = node.skip;
        continue;
      }
      at[node.depth] = to;
      // Where every byte below leads back to this state, all tokens below are allowed.
      i = (node.below & ~loops_[to]) == 0 ? node.skip : i + 1;
      for (uint32_t k = node.first; k < nodes[i].first; ++k) {
        mask[ids[k] >> 5] |= uint32_t{1} << (ids[k] & 31);
        if (leads) leads[ids[k]] = forgotten_ + to;
      }
    }
    chart.back(walk.read);
    chart.end(row);
    chart.allow_whole_tokens(mask);
  }

  /** A number for the state that `chart` is in, whose key is `key`: of two keys never the same, and of one the same for a while. */
  int32_t name(Chart& chart, const ChartKey& key) {
    shrink();
    return forgotten_ + state(key, chart);
  }

  std::size_t bytes() const { return next_.size() * sizeof(int32_t) + states_.size() * 56; }

 private:
  static constexpr int32_t kDead = 0;
  static constexpr std::size_t kMaxBytes = 16 << 20;

  /** Of a walk: bytes down to its node, and those that the chart has read. */
  struct Walk {
    Chart& chart;
    std::vector<uint8_t> path, taken;
    int read;
  };

  /** So that it does not grow for ever. States that come again get other names. */
  void shrink() {
    if (bytes() <= kMaxBytes) return;
    forgotten_ += static_cast<int32_t>(states_.size());
    clear();
  }

  void clear() {
    states_.clear();
    loops_.assign(1, 0);
    next_.assign(classes_.count, kDead);
  }

  /** The state of a key, which `chart` is in. */
  int32_t state(const ChartKey& key, const Chart& chart) {
    const auto [found, isNew] = states_.emplace(key, static_cast<int32_t>(states_.size() + 1));
    const int32_t id = found->second;
    if (!isNew) return id;
    loops_.push_back(0);
    next_.resize(next_.size() + classes_.count, kDead);
    int32_t* row = &next_[static_cast<std::size_t>(id) * classes_.count];
    // Bytes that the same edges read lead to the same place, if they begin a character alike.
    std::vector<uint64_t> readers(classes_.count);
    uint64_t edge = 0;
    chart.each_readable([&](int from, int to) {
      ++edge;
      for (int of = classes_.of[from]; of <= classes_.of[to]; ++of)
        readers[of] = (readers[of] + edge) * 0x9e3779b97f4a7c15ULL;
    });
    std::unordered_map<uint64_t, int32_t> groups;
    for (int of = 0; of < classes_.count; ++of) {
      if (readers[of] == 0) continue;
      const bool goes_on = of >= classes_.of[0x80] && of < classes_.of[0xc0];
      const auto next = static_cast<int32_t>(groups.size() + 1);
      row[of] = -groups.emplace(readers[of] * 2 + goes_on, next).first->second;
    }
    return id;
  }

  /** Bytes of this group lead from one state to another. */
  void learn(int32_t from, int32_t group, int32_t to) {
    int32_t* row = &next_[static_cast<std::size_t>(from) * classes_.count];
    for (int of = 0; of < classes_.count; ++of)
      if (row[of] == group) row[of] = to;
    if (to == from) find_loops(from);
  }

  /** Kinds of bytes that leave a state as it is. */
  void find_loops(int32_t id) {
    const int32_t* row = &next_[static_cast<std::size_t>(id) * classes_.count];
    uint64_t others = 0;
    for (int byte = 0; byte < 256; ++byte)
      if (row[classes_.of[byte]] != id) others |= uint64_t{1} << kByteKinds.of[byte];
    loops_[id] = ~others;
  }

  /** Where the last byte of the path leads: the chart reads it, after those of the path that it lacks. */
  int32_t explore(Walk& walk, int depth) {
    int shared = 0;
    while (shared < walk.read && shared + 1 < depth && walk.taken[shared + 1] == walk.path[shared + 1])
      ++shared;
    walk.chart.back(walk.read - shared);
    walk.read = shared;
    while (walk.read < depth) {
      const uint8_t byte = walk.path[walk.read + 1];
      if (!walk.chart.step(byte)) return kDead;
      walk.taken[++walk.read] = byte;
    }
    return state(walk.chart.key(), walk.chart);
  }

  ByteClasses classes_;
  int32_t forgotten_ = 0;  // states before these
  std::unordered_map<ChartKey, int32_t, ChartKeyHash> states_;
  std::vector<uint64_t> loops_;  // [state], as find_loops has it
  std::vector<int32_t> next_;  // [state][class of the next byte]: a state, or minus a group of classes that lead to the same one
};
