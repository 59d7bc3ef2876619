// A matcher's parser, byte by byte, and a key of the state that it is in: equal keys, equal masks, whatever text led there.
//
// XGrammar parses as Earley did. A row of its chart holds the states that may read the next byte, and for each rule that
// began there the states that wait for its end. What may follow depends on the newest row's states that read and, through the
// rows where their rules began, on those that wait there for these rules. So the key is a hash of the states that read, in which
// positions are replaced by the keys of who waits there for the state's rule, and so on: two texts that stand at the same place
// of the grammar, nested alike, get the same key, such as those of two items of a list. Who waits in a row below the newest is
// hashed once. Where rules of one row wait for each other in a circle (left recursion), its states count together.
//
// Three things count. Repetitions, and rules that end after so many characters (`max_chars`): a count that no token can bring to
// its bound is "far" in a key, as a token then ends at the same answer whatever the count is. And rules that end after so many
// tokens (`max_tokens`): of these a key says whether they are over, as the next token is one token whatever its bytes are.
#pragma once
#include <xgrammar/xgrammar.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

struct ChartKey {
  uint64_t a = 0, b = 0;
  bool operator==(const ChartKey& other) const { return a == other.a && b == other.b; }
};

struct ChartKeyHash {
  std::size_t operator()(const ChartKey& key) const { return static_cast<std::size_t>(key.a); }
};

/** Classes of bytes between which a grammar never tells. */
struct ByteClasses {
  std::array<uint8_t, 256> of{};
  int count = 1;
};

ByteClasses byte_classes(const xgrammar::CompiledGrammar& grammar);

/** Makes what was parsed ready for matchers. @throws where a rule of it can't be held to, or no text that ends matches it */
xgrammar::CompiledGrammar compile(const xgrammar::Grammar& parsed, const xgrammar::TokenizerInfo&);

class Chart {
 public:
  /** @param reach bytes of the longest token */
  Chart(xgrammar::GrammarMatcher matcher, int reach) : matcher(std::move(matcher)), reach_(reach) {}

  Chart fork() const;
  /** The key of the state that the matcher is in. */
  ChartKey key();
  bool completed() const;
  /**
   * Whether rules that have taken as many tokens as they may (`max_tokens`) end here, so that the next token goes on elsewhere: if
   * `wanted`, and there is an elsewhere. Until it is asked again, keys, bytes and tokens are held to it.
   */
  bool end_spent(bool wanted);
  bool accept(int32_t token);
  /** The same for bytes, taken as one token. */
  bool accept(const std::string& bytes);
  /** Bytes that must come next whatever is drawn, at most so many: some grammars would force bytes for ever. */
  std::string forced(std::size_t most);
  /** Calls `each(from, to)` with ranges of bytes; no other byte can be read here. */
  void each_readable(const std::function<void(int, int)>& each) const;
  /** Allows the tokens that the grammar takes whole, by their ids, in `mask`. */
  void allow_whole_tokens(uint32_t* mask) const;

  /** The newest row, which reading on may change. */
  struct Row;
  /** Reads bytes to see what would follow; whoever begins ends, and goes back to where they began before. */
  Row* begin();
  void end(Row* row);
  bool step(uint8_t byte);
  void back(int bytes);

  xgrammar::GrammarMatcher matcher;

 private:
  friend class RowKeys;
  /**
   * Of the states that wait in a row for the end of a rule.
   * @param deadline of these states and of whom they wait for, if all have the same; a row of the first kind may be counted from there
   */
  struct Waiting {
    int32_t rule;
    ChartKey alike, exact;
    int32_t deadline;
  };
  void hash_rows();

  int reach_;
  std::vector<std::vector<Waiting>> rows_;  // all but the newest
  int32_t hashed_at_ = -1;  // the token that rows_ are for, where tokens count
};
