// A key of a matcher's state: equal keys, equal masks, whatever text led there.
//
// XGrammar parses as Earley did. A row of its chart holds the states that may read the next byte, and for each rule that
// began there the states that wait for its end. What may follow depends on the newest row and, through the rows where its
// rules began, on those below. So a row's key is a hash of its states in which positions are replaced by the keys of the rows
// that they name: two texts that stand at the same place of the grammar, nested alike, get the same key. Rows are hashed once.
#pragma once
#include <xgrammar/xgrammar.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

struct ChartKey {
  uint64_t a = 0, b = 0;
  bool operator==(const ChartKey& other) const { return a == other.a && b == other.b; }
};

struct ChartKeyHash {
  std::size_t operator()(const ChartKey& key) const { return static_cast<std::size_t>(key.a); }
};

class ChartKeys {
 public:
  /** The key of the state that `matcher` is in; none where a limit on tokens or characters matters. */
  std::optional<ChartKey> of(const xgrammar::GrammarMatcher& matcher);
  /** Forgets rows that `matcher` has taken back. */
  void cut(const xgrammar::GrammarMatcher& matcher);

 private:
  std::vector<ChartKey> rows_;
};
