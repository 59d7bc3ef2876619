#include "chart.h"

#include <unordered_set>

// The matcher's chart is private to these files of XGrammar, so they are compiled as part of this one.
#define protected public
#include "earley_parser.h"
#undef protected
#define private public
#include "grammar_matcher.cc"
#undef private
#include "earley_parser.cc"
#include "grammar_functor.h"

namespace {

using namespace xgrammar;

constexpr int32_t kNone = -1, kMixed = -2;  // deadlines of a row

uint64_t mix(uint64_t x) {  // the finaliser of MurmurHash3
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

void fold(ChartKey& key, uint64_t value) {
  key.a = mix(key.a ^ value);
  key.b = mix(key.b + value * 0x9e3779b97f4a7c15ULL + 1);
}

void fold(ChartKey& key, const ChartKey& other) {
  fold(key, other.a);
  fold(key, other.b);
}

int32_t join(int32_t a, int32_t b) { return a == kNone || a == b ? b : b == kNone ? a : kMixed; }

/** A count of repetitions as far as a token can tell. */
uint64_t counted(const GrammarMatcher::Impl& impl, const ParserState& state, int reach) {
  const auto whole = static_cast<uint32_t>(state.repeat_count);
  if (state.rule_id < 0) return whole;
  const auto& fsm = impl.grammar_->per_rule_fsms[state.rule_id]->GetFsm().GetFsm();
  for (const auto& edge : fsm.GetEdges(state.element_id)) {
    if (!edge.IsRepeatRef()) continue;
    const auto info = impl.grammar_->complete_fsm.GetRepeatEdgeInfo(edge.GetAuxIndex());
    if (impl.rule_is_nullable_[info.RuleId()]) return whole;  // it may count without reading
    const int32_t lacks = std::max(info.Lower() - state.repeat_count, 0);
    const int32_t left = info.Upper() - state.repeat_count;
    return (static_cast<uint64_t>(std::min(lacks, reach + 1)) << 32) |
           static_cast<uint32_t>(std::min(left, reach + 1));
  }
  return whole;
}

/** Whether a text that ends matches the grammar. None does where each way on needs a rule that needs itself. */
bool ends(const Grammar::Impl& grammar) {
  const int32_t root = grammar.GetRootRuleId();
  using Place = std::pair<int32_t, int32_t>;  // a rule, and a state of its automaton
  std::vector<bool> ended(grammar.NumRules());
  std::vector<std::vector<Place>> waiting(grammar.NumRules());  // for the end of a rule
  std::unordered_set<uint64_t> seen;
  std::vector<Place> open;
  const auto reach = [&](Place place) {
    if (seen.insert(static_cast<uint64_t>(place.first) << 32 | static_cast<uint32_t>(place.second)).second)
      open.push_back(place);
  };
  for (int32_t rule = 0; rule < grammar.NumRules(); ++rule)
    reach({rule, grammar.per_rule_fsms[rule]->GetFsm().GetStart()});
  while (!open.empty() && !ended[root]) {
    const auto [rule, state] = open.back();
    open.pop_back();
    const auto& fsm = grammar.per_rule_fsms[rule]->GetFsm();
    if (fsm.IsEndState(state) && !ended[rule]) {
      ended[rule] = true;
      for (const Place& place : waiting[rule]) reach(place);
    }
    for (const auto& edge : fsm.GetFsm().GetEdges(state)) {
      int32_t needed = edge.IsRuleRef() ? edge.GetRefRuleId() : -1;
      if (edge.IsRepeatRef()) {
        const auto info = grammar.complete_fsm.GetRepeatEdgeInfo(edge.GetAuxIndex());
        if (info.Lower() > 0) needed = info.RuleId();
      }
      if (needed < 0 || ended[needed]) reach({rule, edge.target});
      else waiting[needed].push_back({rule, edge.target});
    }
  }
  return ended[root];
}

}  // namespace

ByteClasses byte_classes(const CompiledGrammar& grammar) {
  std::array<bool, 257> begins{};
  for (const auto& rule : grammar.ImplPtr()->grammar->per_rule_fsms) {
    const auto& fsm = rule->GetFsm().GetFsm();
    for (int state = 0; state < fsm.NumStates(); ++state) {
      for (const auto& edge : fsm.GetEdges(state)) {
        if (!edge.IsCharRange()) continue;
        begins[std::min(edge.min, 256)] = true;
        begins[std::min(edge.max + 1, 256)] = true;
      }
    }
  }
  for (int byte : {0x80, 0xc0}) begins[byte] = true;  // where characters begin, which limits count
  ByteClasses classes;
  for (int byte = 1; byte < 256; ++byte) {
    classes.count += begins[byte];
    classes.of[byte] = static_cast<uint8_t>(classes.count - 1);
  }
  return classes;
}

CompiledGrammar compile(const Grammar& parsed, const TokenizerInfo& tokens) {
  auto compiled = std::make_shared<CompiledGrammar::Impl>();
  const Grammar grammar = compiled->grammar = GrammarOptimizer::Apply(parsed);
  compiled->tokenizer_info = tokens;
  for (int32_t rule = 0; rule < grammar->NumRules(); ++rule) {
    if (grammar->GetSuffixStopInfo(rule))
      throw std::runtime_error(
          "rule " + grammar->GetRule(rule).name +
          " hides a part of what it captures (capture_hidden_..., stop_capture), but nobody reads captures"
      );
  }
  if (!ends(*grammar.ImplPtr()))
    throw std::runtime_error("no text that ever ends matches the grammar: each way on from root needs a rule that needs itself");
  const auto& fsm = grammar->complete_fsm;
  for (int state = 0; state < fsm.NumStates(); ++state) {
    for (const auto& edge : fsm.GetEdges(state)) {
      if (!edge.IsToken() && !edge.IsExcludeToken()) continue;
      const auto named = fsm.GetTokenEdgeInfo(edge.GetAuxIndex());
      for (int i = 0; i < named.Count(); ++i) {
        const int32_t id = named.TokenIds()[i];
        if (id < 0 || id >= tokens.GetVocabSize())
          throw std::runtime_error("no token has the id " + std::to_string(id));
      }
    }
  }
  return CompiledGrammar(compiled);
}

Chart Chart::fork() const {
  Chart other(matcher.Fork(), reach_);
  other.rows_ = rows_;
  other.hashed_at_ = hashed_at_;
  return other;
}

bool Chart::completed() const { return matcher.ImplPtr()->IsCompleted(); }

bool Chart::end_spent(bool wanted) {
  auto& impl = *matcher.ImplPtr();
  impl.current_token_index_ = static_cast<int32_t>(impl.token_length_history.size());
  bool spent = false, others = impl.IsCompleted();
  if (wanted && impl.has_budget_rules_) {
    for (const auto& state : impl.scanable_state_history_[impl.scanable_state_history_.size() - 1])
      (impl.IsExpiredState(state) ? spent : others) = true;
  }
  return impl.budget_enforce_pending_ = spent && others;
}

bool Chart::accept(int32_t token) { return matcher.AcceptToken(token); }

bool Chart::accept(const std::string& bytes) {
  auto& impl = *matcher.ImplPtr();
  GrammarMatcher::Impl::SkipExpiredGuard guard(&impl, impl.budget_enforce_pending_);
  return matcher.AcceptString(bytes);
}

// As GrammarMatcher::FindJumpForwardString does, which has no bound.
std::string Chart::forced(std::size_t most) {
  auto& impl = *matcher.ImplPtr();
  impl.current_token_index_ = static_cast<int32_t>(impl.token_length_history.size());
  std::string bytes;
  const auto next = [&] {  // -1: a choice, or nothing
    int byte = -1;
    bool spent = false;
    for (const auto& state : impl.scanable_state_history_[impl.scanable_state_history_.size() - 1]) {
      spent = spent || impl.IsCharExpiredState(state);
      if (impl.budget_enforce_pending_ && impl.IsExpiredState(state)) continue;
      const auto& fsm = impl.grammar_->per_rule_fsms[state.rule_id]->GetFsm().GetFsm();
      for (const auto& edge : fsm.GetEdges(state.element_id)) {
        if (!edge.IsCharRange()) continue;
        if (edge.min != edge.max || (byte >= 0 && byte != edge.min)) return -1;
        byte = edge.min;
      }
    }
    return spent && byte >= 0 && (byte & 0xc0) != 0x80 ? -1 : byte;
  };
  while (bytes.size() < most && !impl.IsCompleted()) {
    const int byte = next();
    if (byte < 0) break;
    bytes += static_cast<char>(byte);
    impl.Advance(static_cast<uint8_t>(byte));
  }
  impl.PopLastStates(static_cast<int32_t>(bytes.size()));
  return bytes;
}

enum class Counting { kAlike, kExact, kNow };

/** Keys of the states of a row, while it is as it is. */
class RowKeys {
 public:
  RowKeys(const Chart& chart, const GrammarMatcher::Impl& impl, int32_t row)
      : chart_(chart), impl_(impl), row_(row), waiting_(impl.rule_id_to_completable_states_[row]) {
    for (const auto& [rule, _] : waiting_) {
      if (circular_) break;
      waits(rule, Counting::kAlike);
    }
    if (circular_) known_.clear();
  }

  /** Those that wait, by rules. */
  std::vector<Chart::Waiting> rules() {
    std::vector<Chart::Waiting> all;
    for (const auto& [rule, _] : waiting_) {
      const auto is = [rule = rule](const Chart::Waiting& of) { return of.rule == rule; };
      if (std::any_of(all.begin(), all.end(), is)) continue;
      all.push_back({rule, waits(rule, Counting::kAlike), {}, kNone});
      if (!impl_.has_char_budget_rules_) continue;
      all.back().exact = waits(rule, Counting::kExact);
      std::vector<int32_t> seen;
      all.back().deadline = deadline(rule, seen);
    }
    return all;
  }

  /** The row as the newest. */
  ChartKey newest() {
    ChartKey sum;
    for (const auto& state : impl_.scanable_state_history_[row_]) add(sum, of(state, Counting::kNow), ~uint64_t{0});
    if (circular_) add(sum, together(Counting::kNow), 0);
    return sum;
  }

 private:
  /** A sum: the order of states says nothing. */
  static void add(ChartKey& sum, ChartKey key, uint64_t kind) {
    fold(key, kind);
    sum.a += key.a;
    sum.b += key.b;
  }

  ChartKey of(const ParserState& state, Counting counting) {
    ChartKey key;
    for (int32_t field : {state.rule_id, state.sequence_id, state.element_id, state.sub_element_id,
                          state.partial_codepoint})
      fold(key, static_cast<uint32_t>(field));
    fold(key, counted(impl_, state, chart_.reach_));
    if (impl_.has_budget_rules_) fold(key, impl_.IsExpiredState(state));
    const int32_t deadline = state.char_budget_deadline;
    if (deadline < 0) {
      fold(key, 0);
    } else if (counting == Counting::kAlike) {
      fold(key, 1);
    } else {
      const int32_t left = std::max(deadline - impl_.char_count_history_[row_], 0);
      fold(key, 2 + (counting == Counting::kNow ? std::min(left, chart_.reach_ + 1) : left));
    }
    const int32_t start = state.rule_start_pos;
    if (start < 0) {
      fold(key, 1);  // before the text
    } else if (start >= row_) {
      if (circular_) fold(key, 2);  // with all of this row
      else fold(key, waits(state.rule_id, counting));
    } else if (const Chart::Waiting* begun = below(start, state.rule_id)) {
      const bool alike = begun->deadline == kNone || counting == Counting::kAlike ||
                         (counting == Counting::kNow && begun->deadline == deadline);
      fold(key, alike ? begun->alike : begun->exact);
      if (!alike) fold(key, impl_.char_count_history_[row_] - impl_.char_count_history_[start]);
    } else {
      fold(key, 3);  // nobody waits
    }
    return key;
  }

  /** Of the states that wait for a rule's end. */
  ChartKey waits(int32_t rule, Counting counting) {
    if (circular_) rule = kAll;
    for (const Known& known : known_) {
      if (known.rule != rule || known.counting != counting) continue;
      if (!known.done) circular_ = true;
      return known.key;
    }
    const std::size_t at = known_.size();
    known_.push_back({rule, counting, false, {}});
    if (circular_) {
      known_[at].done = true;
      return known_[at].key = together(counting);
    }
    ChartKey sum;
    for (const auto& [of_rule, state] : waiting_) {
      if (circular_) return sum;
      if (of_rule == rule) add(sum, of(state, counting), 3);
    }
    known_[at].done = true;
    return known_[at].key = sum;
  }

  /** Of all states that wait. */
  ChartKey together(Counting counting) {
    ChartKey sum;
    for (const auto& [rule, state] : waiting_) add(sum, of(state, counting), static_cast<uint32_t>(rule));
    return sum;
  }

  int32_t deadline(int32_t rule, std::vector<int32_t>& seen) {
    if (std::find(seen.begin(), seen.end(), rule) != seen.end()) return kNone;
    seen.push_back(rule);
    int32_t sum = kNone;
    for (const auto& [of_rule, state] : waiting_) {
      if (of_rule != rule && !circular_) continue;
      sum = join(sum, state.char_budget_deadline < 0 ? kNone : state.char_budget_deadline);
      const int32_t start = state.rule_start_pos;
      if (start >= row_) sum = join(sum, deadline(state.rule_id, seen));
      else if (start >= 0)
        if (const Chart::Waiting* begun = below(start, state.rule_id)) sum = join(sum, begun->deadline);
    }
    return sum;
  }

  /** Those that wait for a rule in a row below. */
  const Chart::Waiting* below(int32_t row, int32_t rule) const {
    for (const Chart::Waiting& of : chart_.rows_[row])
      if (of.rule == rule) return &of;
    return nullptr;
  }

  static constexpr int32_t kAll = INT32_MIN;
  struct Known {
    int32_t rule;
    Counting counting;
    bool done;
    ChartKey key;
  };

  const Chart& chart_;
  const GrammarMatcher::Impl& impl_;
  const int32_t row_;
  const decltype(impl_.rule_id_to_completable_states_[0]) waiting_;
  bool circular_ = false;
  std::vector<Known> known_;
};

/** Those below the newest, which is the only one that may change. */
void Chart::hash_rows() {
  const auto& impl = *matcher.ImplPtr();
  if (impl.has_budget_rules_ && hashed_at_ != impl.current_token_index_) {
    rows_.clear();
    hashed_at_ = impl.current_token_index_;
  }
  const int32_t last = impl.rule_id_to_completable_states_.size() - 1;
  if (static_cast<int32_t>(rows_.size()) > last) rows_.resize(last);
  for (int32_t row = rows_.size(); row < last; ++row)
    rows_.push_back(RowKeys(*this, impl, row).rules());
}

ChartKey Chart::key() {
  hash_rows();
  const auto& impl = *matcher.ImplPtr();
  ChartKey sum = RowKeys(*this, impl, rows_.size()).newest();
  fold(sum, impl.IsCompleted());
  if (impl.budget_enforce_pending_) fold(sum, 1);
  return sum;
}

void Chart::each_readable(const std::function<void(int, int)>& each) const {
  const auto& impl = *matcher.ImplPtr();
  for (const auto& state : impl.scanable_state_history_[impl.scanable_state_history_.size() - 1]) {
    if (state.rule_id < 0) throw std::logic_error("a state of no rule");
    const auto& fsm = impl.grammar_->per_rule_fsms[state.rule_id]->GetFsm().GetFsm();
    for (const auto& edge : fsm.GetEdges(state.element_id))
      if (edge.IsCharRange()) each(edge.min, std::min(edge.max, 255));
  }
}

void Chart::allow_whole_tokens(uint32_t* mask) const {
  const auto& impl = *matcher.ImplPtr();
  const auto allow = [&](int32_t id) { mask[id >> 5] |= uint32_t{1} << (id & 31); };
  for (const auto& state : impl.scanable_state_history_[impl.scanable_state_history_.size() - 1]) {
    if (state.rule_id < 0 || (impl.budget_enforce_pending_ && impl.IsExpiredState(state))) continue;
    const auto& fsm = impl.grammar_->per_rule_fsms[state.rule_id]->GetFsm().GetFsm();
    for (const auto& edge : fsm.GetEdges(state.element_id)) {
      if (edge.IsToken()) {
        const auto tokens = fsm.GetTokenEdgeInfo(edge.GetAuxIndex());
        for (int i = 0; i < tokens.Count(); ++i) allow(tokens.TokenIds()[i]);
      } else if (edge.IsExcludeToken()) {
        const auto but = fsm.GetExcludeTokenEdgeInfo(edge.GetAuxIndex());
        for (const auto& [id, _] : impl.tokenizer_info_.GetSortedDecodedVocab())
          if (but.Accepts(id)) allow(id);
      }
    }
  }
}

struct Chart::Row {
  std::vector<ParserState> states;
  std::vector<std::pair<int32_t, ParserState>> waiting;
  bool completed;
};

Chart::Row* Chart::begin() {
  auto& impl = *matcher.ImplPtr();
  impl.skip_expired_states_ = impl.budget_enforce_pending_;
  if (!impl.has_char_budget_rules_) return nullptr;
  const auto waiting = impl.rule_id_to_completable_states_.Back();
  return new Row{
      impl.GetLatestScanableStates(), {waiting.begin(), waiting.end()}, impl.IsCompleted()
  };
}

void Chart::end(Row* row) {
  auto& impl = *matcher.ImplPtr();
  impl.skip_expired_states_ = false;
  if (!row) return;
  impl.scanable_state_history_.PopBack(1);
  impl.scanable_state_history_.PushBack(row->states);
  impl.rule_id_to_completable_states_.PopBack(1);
  impl.rule_id_to_completable_states_.PushBack(row->waiting);
  impl.is_completed_.back() = row->completed;
  delete row;
}

bool Chart::step(uint8_t byte) {
  auto& impl = *matcher.ImplPtr();
  return impl.has_char_budget_rules_ ? impl.AdvanceWithCharacterBudget(byte) : impl.Advance(byte);
}

void Chart::back(int bytes) {
  if (bytes == 0) return;
  auto& impl = *matcher.ImplPtr();
  impl.PopLastStates(bytes);
  const std::size_t below = impl.rule_id_to_completable_states_.size() - 1;
  if (rows_.size() > below) rows_.resize(below);
}
