// C ABI over XGrammar for one JavaScript caller: vocabularies, compiled grammars, matchers. Handles are pointers; whoever
// makes one frees it. What fails returns 0 (or -1 where 0 is an answer) and leaves a message in text().
#include <emscripten.h>
#include <xgrammar/xgrammar.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "chart_key.h"
#include "mask_cache.h"

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
  TokenizerInfo tokens;
  GrammarCompiler compiler;
};

struct CompiledHandle {
  CompiledGrammar grammar;
  std::shared_ptr<MaskCache> masks;
};

struct MatcherHandle {
  GrammarMatcher matcher;
  ChartKeys keys;
  std::shared_ptr<MaskCache> masks;
};

std::string text_;

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

CompiledHandle* handle(CompiledGrammar grammar) {
  return new CompiledHandle{std::move(grammar), std::make_shared<MaskCache>()};
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
    TokenizerInfo info(tokens, VocabType::RAW, count, std::vector<int32_t>(stop, stop + stops));
    return new Vocabulary{info, GrammarCompiler(info, 1, /*cache_enabled=*/false)};
  });
}
API void vocabulary_free(Vocabulary* vocabulary) { delete vocabulary; }

API CompiledHandle* grammar_from_ebnf(Vocabulary* vocabulary, const char* text, int size) {
  return guarded<CompiledHandle*>(nullptr, [&] {
    return handle(vocabulary->compiler.CompileGrammar(std::string(text, size), "root"));
  });
}
API CompiledHandle* grammar_from_tag(Vocabulary* vocabulary, const char* text, int size) {
  return guarded<CompiledHandle*>(nullptr, [&] {
    return handle(vocabulary->compiler.CompileStructuralTag(std::string(text, size)));
  });
}
API CompiledHandle* grammar_restore(Vocabulary* vocabulary, const char* text, int size) {
  return guarded<CompiledHandle*>(nullptr, [&] {
    auto restored = CompiledGrammar::DeserializeJSON(std::string(text, size), vocabulary->tokens);
    if (auto* error = std::get_if<SerializationError>(&restored)) raise(*error);
    return handle(std::get<CompiledGrammar>(restored));
  });
}
/** The grammar as text() that grammar_restore takes. */
API int grammar_serialize(CompiledHandle* compiled) {
  return guarded(0, [&] {
    text_ = compiled->grammar.SerializeJSON();
    return 1;
  });
}
API double grammar_bytes(CompiledHandle* compiled) {
  return static_cast<double>(compiled->grammar.MemorySizeBytes());
}
API void grammar_free(CompiledHandle* compiled) { delete compiled; }

API MatcherHandle* matcher_new(CompiledHandle* compiled) {
  return guarded<MatcherHandle*>(nullptr, [&] {
    return new MatcherHandle{GrammarMatcher(compiled->grammar), {}, compiled->masks};
  });
}
API MatcherHandle* matcher_fork(MatcherHandle* m) {
  return guarded<MatcherHandle*>(nullptr, [&] {
    return new MatcherHandle{m->matcher.Fork(), m->keys, m->masks};
  });
}
API void matcher_free(MatcherHandle* m) { delete m; }

/** 1: taken, 0: not allowed here, -1: an error. */
API int matcher_accept(MatcherHandle* m, int token) {
  return guarded(-1, [&] { return m->matcher.AcceptToken(token) ? 1 : 0; });
}
/** The same for bytes, taken as one token. */
API int matcher_accept_bytes(MatcherHandle* m, const char* bytes, int size) {
  return guarded(-1, [&] { return m->matcher.AcceptString(std::string(bytes, size)) ? 1 : 0; });
}
/** Fills `mask`. 1: some tokens are not allowed, 0: all are, -1: an error. `cached` 0 computes it anew. */
API int matcher_mask(MatcherHandle* m, uint32_t* mask, int words, int cached) {
  return guarded(-1, [&] {
    if (!cached) return fill_mask(m->matcher, mask, words) ? 1 : 0;
    const ChartKey key = m->keys.of(m->matcher);
    if (const MaskCache::Mask* known = m->masks->find(key)) {
      std::memcpy(mask, known->words.data(), words * sizeof(uint32_t));
      return known->applies ? 1 : 0;
    }
    const bool applies = fill_mask(m->matcher, mask, words);
    m->masks->add(key, {std::vector<uint32_t>(mask, mask + words), applies});
    return applies ? 1 : 0;
  });
}
/** Leaves in text() what must come next. */
API int matcher_forced(MatcherHandle* m) {
  return guarded(0, [&] {
    text_ = m->matcher.FindJumpForwardString();
    return 1;
  });
}
API int matcher_rollback(MatcherHandle* m, int tokens) {
  return guarded(0, [&] {
    m->matcher.Rollback(tokens);
    m->keys.cut(m->matcher);
    return 1;
  });
}
/** Bit 0: a stop token was taken; bit 1: the text so far is complete. */
API int matcher_state(MatcherHandle* m) {
  return (m->matcher.IsTerminated() ? 1 : 0) | (m->matcher.IsCompleted() ? 2 : 0);
}
