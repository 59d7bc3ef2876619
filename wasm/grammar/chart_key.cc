#include "chart_key.h"

// The matcher's chart is private to this file of XGrammar, so it is compiled as part of this one.
#define protected public
#include "earley_parser.h"
#undef protected
#define private public
#include "grammar_matcher.cc"
#undef private

namespace {

uint64_t mix(uint64_t x) {  // the finaliser of MurmurHash3
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

void fold(ChartKey& key, uint64_t value) {
  key.a = mix(key.a ^ value);
  key.b = mix(key.b + value * 0x9e3779b97f4a7c15ULL + 1);
}

/** @param start the key of the row in which the state's rule began */
ChartKey key_of(const xgrammar::ParserState& state, const ChartKey& start) {
  ChartKey key;
  for (int32_t field :
       {state.rule_id, state.sequence_id, state.element_id, state.sub_element_id, state.repeat_count,
        state.partial_codepoint, state.budget_deadline})
    fold(key, static_cast<uint32_t>(field));
  fold(key, state.char_budget_deadline >= 0);
  fold(key, start.a);
  fold(key, start.b);
  return key;
}

}  // namespace

std::optional<ChartKey> ChartKeys::of(const xgrammar::GrammarMatcher& matcher) {
  const auto& impl = *matcher.ImplPtr();
  // Limits count from where their rule began. While the longest token keeps within one on characters, it excludes nothing.
  const int32_t within =
      impl.GetCurrentCharIndex() + impl.tokenizer_info_.ImplPtr()->GetMaxTokenChars();
  for (const auto& state : impl.scanable_state_history_[impl.scanable_state_history_.size() - 1]) {
    if (state.budget_deadline >= 0) return std::nullopt;
    if (state.char_budget_deadline >= 0 && state.char_budget_deadline <= within) return std::nullopt;
  }
  const auto& waiting = impl.rule_id_to_completable_states_;
  const auto start_key = [&](int32_t start, std::size_t row) {
    if (start < 0) return ChartKey{1, 0};                               // before the text
    if (static_cast<std::size_t>(start) >= row) return ChartKey{2, 0};  // this row itself
    return rows_[start];
  };
  // States of a row are a set: their order says nothing, so their keys are added.
  for (std::size_t row = rows_.size(); row < static_cast<std::size_t>(waiting.size()); ++row) {
    ChartKey sum;
    for (const auto& [rule, state] : waiting[row]) {
      ChartKey key = key_of(state, start_key(state.rule_start_pos, row));
      fold(key, static_cast<uint32_t>(rule));
      sum.a += key.a;
      sum.b += key.b;
    }
    rows_.push_back(sum);
  }
  const std::size_t last = rows_.size() - 1;
  ChartKey sum = rows_[last];
  fold(sum, impl.IsCompleted());
  for (const auto& state : impl.scanable_state_history_[last]) {
    const ChartKey key = key_of(state, start_key(state.rule_start_pos, last));
    sum.a += key.a;
    sum.b += key.b;
  }
  return sum;
}

void ChartKeys::cut(const xgrammar::GrammarMatcher& matcher) {
  const std::size_t rows = matcher.ImplPtr()->rule_id_to_completable_states_.size();
  if (rows_.size() > rows) rows_.resize(rows);
}
