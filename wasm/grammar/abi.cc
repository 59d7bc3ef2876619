// C ABI over XGrammar for one JavaScript caller: vocabularies, compiled grammars, matchers. Handles are pointers; whoever
// makes one frees it. What fails returns 0 (or -1 where 0 is an answer) and leaves a message in text().
#include <dlpack/dlpack.h>
#include <emscripten.h>
#include <xgrammar/xgrammar.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "automaton.h"
#include "chart.h"
#include "mask_cache.h"
#include "trie.h"

#define API extern "C" EMSCRIPTEN_KEEPALIVE

namespace xgrammar {
// XGrammar's checks end here (XGRAMMAR_LOG_CUSTOMIZE): as exceptions, and without its warnings.
[[noreturn]] void LogFatalImpl(const std::string&, int, const std::string& message) {
  throw std::runtime_error(message);
}
void LogMessageImpl(const std::string&, int, int, const std::string&) {}
}  // namespace xgrammar

namespace {

using namespace xgrammar;

struct Vocabulary {
  Trie trie;
  TokenizerInfo tokens, none;
  GrammarCompiler plain;  // knows none: it makes no masks
  std::optional<GrammarCompiler> full;
};

/** What matchers of a grammar share. */
struct Masks {
  const Trie& trie;
  std::vector<int32_t> stops;
  std::optional<Automaton> automaton;  // none: XGrammar makes the masks
  MaskCache known;
};

struct CompiledHandle {
  CompiledGrammar grammar;
  std::shared_ptr<Masks> masks;
};

struct MatcherHandle {
  Chart chart;
  std::shared_ptr<Masks> masks;
};

std::string text_;

constexpr char kPlain = 'p', kMasked = 'm';  // kinds of a serialised grammar

/** Runs `body`; what it throws becomes the message, and `failed` the answer. */
template <typename Answer, typename Body>
Answer guarded(Answer failed, Body body) {
  try {
    return body();
  } catch (const std::exception& error) {
    text_ = error.what();
  } catch (...) {
    text_ = "unknown error";
  }
  return failed;
}

template <typename... Errors>
[[noreturn]] void raise(const std::variant<Errors...>& error) {
  std::visit([](const auto& e) { throw std::runtime_error(e.what()); }, error);
  throw std::logic_error("unreachable");
}

/** XGrammar's own mask. */
bool fill_mask(GrammarMatcher& matcher, uint32_t* mask, int words) {
  int64_t shape[1] = {words}, strides[1] = {1};
  DLTensor tensor{};
  tensor.data = mask;
  tensor.device = {kDLCPU, 0};
  tensor.ndim = 1;
  tensor.dtype = GetBitmaskDLType();
  tensor.shape = shape;
  tensor.strides = strides;
  return matcher.FillNextTokenBitmask(&tensor);
}

/** Compiles without masks, which take a hundred times as long, where they aren't needed. */
template <typename Compile>
CompiledHandle* compiled(Vocabulary& vocabulary, Compile compile) {
  CompiledGrammar grammar = compile(vocabulary.plain);
  std::optional<Automaton> automaton;
  if (beyond_chart(grammar.GetGrammar())) {
    if (!vocabulary.full) vocabulary.full.emplace(vocabulary.tokens, 1, /*cache_enabled=*/false);
    grammar = compile(*vocabulary.full);
  } else {
    set_tokens(grammar, vocabulary.tokens);
    automaton.emplace(byte_classes(grammar));
  }
  const auto& stops = vocabulary.tokens.GetStopTokenIds();
  return new CompiledHandle{
      grammar, std::make_shared<Masks>(Masks{vocabulary.trie, stops, std::move(automaton), {}})
  };
}

}  // namespace

/** What the last call had to say: a message, or text that was asked for. Valid until the next call. */
API const char* text() { return text_.data(); }
API int text_size() { return static_cast<int>(text_.size()); }

/**
 * @param bytes of all tokens, one after another
 * @param ends where each token ends in `bytes`; a token without bytes is special: no text has it
 */
API Vocabulary* vocabulary_new(
    const char* bytes, const uint32_t* ends, int count, const int32_t* stop, int stops
) {
  return guarded<Vocabulary*>(nullptr, [&] {
    std::vector<std::string> tokens;
    tokens.reserve(count);
    for (int i = 0; i < count; ++i) {
      uint32_t begin = i == 0 ? 0 : ends[i - 1];
      tokens.emplace_back(bytes + begin, ends[i] - begin);
    }
    const std::vector<int32_t> ends(stop, stop + stops);
    TokenizerInfo info(tokens, VocabType::RAW, count, ends);
    TokenizerInfo none(std::vector<std::string>{}, VocabType::RAW, count, ends);
    return new Vocabulary{
        Trie(info.GetSortedDecodedVocab()), info, none,
        GrammarCompiler(none, 1, /*cache_enabled=*/false), std::nullopt
    };
  });
}
API void vocabulary_free(Vocabulary* vocabulary) { delete vocabulary; }

API CompiledHandle* grammar_from_ebnf(Vocabulary* vocabulary, const char* text, int size) {
  return guarded<CompiledHandle*>(nullptr, [&] {
    const std::string ebnf(text, size);
    return compiled(*vocabulary, [&](auto& by) { return by.CompileGrammar(ebnf, "root"); });
  });
}
API CompiledHandle* grammar_from_tag(Vocabulary* vocabulary, const char* text, int size) {
  return guarded<CompiledHandle*>(nullptr, [&] {
    const std::string tag(text, size);
    return compiled(*vocabulary, [&](auto& by) { return by.CompileStructuralTag(tag); });
  });
}
API CompiledHandle* grammar_restore(Vocabulary* vocabulary, const char* text, int size) {
  return guarded<CompiledHandle*>(nullptr, [&] {
    const bool plain = size > 0 && text[0] == kPlain;
    auto restored = CompiledGrammar::DeserializeJSON(
        std::string(text + 1, size > 0 ? size - 1 : 0), plain ? vocabulary->none : vocabulary->tokens
    );
    if (auto* error = std::get_if<SerializationError>(&restored)) raise(*error);
    return compiled(*vocabulary, [&](auto&) { return std::get<CompiledGrammar>(restored); });
  });
}
/** The grammar as text() that grammar_restore takes. Where it has no masks, the text has no tokens either. */
API int grammar_serialize(Vocabulary* vocabulary, CompiledHandle* compiled) {
  return guarded(0, [&] {
    const bool plain = compiled->masks->automaton.has_value();
    if (plain) set_tokens(compiled->grammar, vocabulary->none);
    text_ = (plain ? kPlain : kMasked) + compiled->grammar.SerializeJSON();
    set_tokens(compiled->grammar, vocabulary->tokens);
    return 1;
  });
}
/** What it takes now: it grows with the masks that are asked for. */
API double grammar_bytes(CompiledHandle* compiled) {
  const Masks& masks = *compiled->masks;
  return static_cast<double>(
      compiled->grammar.MemorySizeBytes() + masks.known.bytes() +
      (masks.automaton ? masks.automaton->bytes() : 0)
  );
}
API void grammar_free(CompiledHandle* compiled) { delete compiled; }

API MatcherHandle* matcher_new(CompiledHandle* compiled) {
  return guarded<MatcherHandle*>(nullptr, [&] {
    const auto& masks = compiled->masks;
    return new MatcherHandle{Chart(GrammarMatcher(compiled->grammar), masks->trie.depth), masks};
  });
}
API MatcherHandle* matcher_fork(MatcherHandle* m) {
  return guarded<MatcherHandle*>(nullptr, [&] {
    return new MatcherHandle{m->chart.fork(), m->masks};
  });
}
API void matcher_free(MatcherHandle* m) { delete m; }

/** 1: taken, 0: not allowed here, -1: an error. */
API int matcher_accept(MatcherHandle* m, int token) {
  return guarded(-1, [&] { return m->chart.matcher.AcceptToken(token) ? 1 : 0; });
}
/** The same for bytes, taken as one token. */
API int matcher_accept_bytes(MatcherHandle* m, const char* bytes, int size) {
  return guarded(-1, [&] { return m->chart.matcher.AcceptString(std::string(bytes, size)) ? 1 : 0; });
}
/** Fills `mask`. 1: some tokens are not allowed, 0: all are, -1: an error. `cached` 0 computes it anew. */
API int matcher_mask(MatcherHandle* m, uint32_t* mask, int words, int cached) {
  return guarded(-1, [&] {
    Masks& masks = *m->masks;
    if (!masks.automaton) return fill_mask(m->chart.matcher, mask, words) ? 1 : 0;
    const ChartKey key = m->chart.key();
    if (const std::vector<uint32_t>* known = cached ? masks.known.find(key) : nullptr) {
      std::memcpy(mask, known->data(), words * sizeof(uint32_t));
      return 1;
    }
    masks.automaton->fill(m->chart, key, masks.trie, mask, words);
    for (int32_t id : masks.stops) {
      const uint32_t bit = uint32_t{1} << (id & 31);
      mask[id >> 5] = m->chart.completed() ? mask[id >> 5] | bit : mask[id >> 5] & ~bit;
    }
    if (cached) masks.known.add(key, std::vector<uint32_t>(mask, mask + words));
    return 1;
  });
}
/** Leaves in text() what must come next. */
API int matcher_forced(MatcherHandle* m) {
  return guarded(0, [&] {
    text_ = m->chart.matcher.FindJumpForwardString();
    return 1;
  });
}
API int matcher_rollback(MatcherHandle* m, int tokens) {
  return guarded(0, [&] {
    m->chart.matcher.Rollback(tokens);
    return 1;
  });
}
/** Bit 0: a stop token was taken; bit 1: the text so far is complete. */
API int matcher_state(MatcherHandle* m) {
  return (m->chart.matcher.IsTerminated() ? 1 : 0) | (m->chart.matcher.IsCompleted() ? 2 : 0);
}
