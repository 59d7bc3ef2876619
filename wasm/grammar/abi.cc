// C ABI over XGrammar for one JavaScript caller: vocabularies, compiled grammars, matchers. Handles are pointers; whoever
// makes one frees it. What fails returns 0 (or -1 where 0 is an answer) and leaves a message in text().
#include <emscripten.h>
#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "automaton.h"
#include "chart.h"
#include "mask_cache.h"
#include "trie.h"

#define API extern "C" EMSCRIPTEN_KEEPALIVE

namespace {

using namespace xgrammar;

struct Vocabulary {
  TokenizerInfo tokens, none;
  Trie trie;
};

/** What matchers of a grammar share. */
struct Masks {
  const Trie& trie;
  std::vector<int32_t> stops;
  int words;
  Automaton automaton;
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
bool exhausted_ = false;

/** Runs `body`; what it throws becomes the message, and `failed` the answer. */
template <typename Answer, typename Body>
Answer guarded(Answer failed, Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    exhausted_ = true;  // no message: it might need memory
    text_.clear();
  } catch (const std::exception& error) {
    text_ = error.what();
  } catch (...) {
    text_ = "unknown error";
  }
  return failed;
}

CompiledHandle* compiled(const Vocabulary& vocabulary, const Grammar& parsed) {
  const TokenizerInfo& tokens = vocabulary.tokens;
  const CompiledGrammar grammar = compile(parsed, tokens);
  return new CompiledHandle{
      grammar, std::make_shared<Masks>(Masks{
                   vocabulary.trie,
                   tokens.GetStopTokenIds(),
                   (tokens.GetVocabSize() + 31) / 32,
                   Automaton(byte_classes(grammar)),
                   {}
               })
  };
}

/** @param leads see Automaton::fill; where they are asked for, the mask is not taken from the cache */
void fill(MatcherHandle& m, uint32_t* mask, bool cached, int32_t* leads = nullptr) {
  Masks& masks = *m.masks;
  const ChartKey key = m.chart.key();
  if (leads) cached = false;
  if (const std::vector<uint32_t>* known = cached ? masks.known.find(key) : nullptr) {
    std::memcpy(mask, known->data(), masks.words * sizeof(uint32_t));
    return;
  }
  masks.automaton.fill(m.chart, key, masks.trie, mask, masks.words, leads);
  for (int32_t id : masks.stops) {
    const uint32_t bit = uint32_t{1} << (id & 31);
    mask[id >> 5] = m.chart.completed() ? mask[id >> 5] | bit : mask[id >> 5] & ~bit;
  }
  if (cached) masks.known.add(key, std::vector<uint32_t>(mask, mask + masks.words));
}

/** Rules that have taken their last token end, unless nothing could follow then: these go on until they can. */
void settle(MatcherHandle& m) {
  if (!m.chart.end_spent(true) || m.chart.completed()) return;
  std::vector<uint32_t> mask(m.masks->words);
  fill(m, mask.data(), true);
  if (std::all_of(mask.begin(), mask.end(), [](uint32_t word) { return word == 0; }))
    m.chart.end_spent(false);
}

}  // namespace

/** What the last call had to say: a message, or text that was asked for. Valid until the next call. */
API const char* text() { return text_.data(); }
API int text_size() { return static_cast<int>(text_.size()); }
/** 1: a call failed as there was no memory left. What was taken never goes back: the caller makes another instance. */
API int exhausted() { return exhausted_ ? 1 : 0; }

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
    const TokenizerInfo info(tokens, VocabType::RAW, count, ends);
    const TokenizerInfo none(std::vector<std::string>{}, VocabType::RAW, count, ends);
    return new Vocabulary{info, none, Trie(info.GetSortedDecodedVocab())};
  });
}
API void vocabulary_free(Vocabulary* vocabulary) { delete vocabulary; }

API CompiledHandle* grammar_from_ebnf(Vocabulary* vocabulary, const char* text, int size) {
  return guarded<CompiledHandle*>(nullptr, [&] {
    return compiled(*vocabulary, Grammar::FromEBNF(std::string(text, size), "root"));
  });
}
API CompiledHandle* grammar_from_tag(Vocabulary* vocabulary, const char* text, int size) {
  return guarded<CompiledHandle*>(nullptr, [&] {
    auto parsed = Grammar::FromStructuralTag(std::string(text, size), vocabulary->none);
    if (auto* error = std::get_if<StructuralTagError>(&parsed))
      throw std::runtime_error(std::visit([](const auto& e) { return std::string(e.what()); }, *error));
    return compiled(*vocabulary, std::get<Grammar>(parsed));
  });
}
/** What it takes now: it grows with the masks that are asked for. */
API double grammar_bytes(CompiledHandle* compiled) {
  const Masks& masks = *compiled->masks;
  return static_cast<double>(
      compiled->grammar.MemorySizeBytes() + masks.known.bytes() + masks.automaton.bytes()
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
  return guarded(-1, [&] {
    settle(*m);
    return m->chart.accept(token) ? 1 : 0;
  });
}
/** The same for bytes, taken as one token. */
API int matcher_accept_bytes(MatcherHandle* m, const char* bytes, int size) {
  return guarded(-1, [&] {
    settle(*m);
    return m->chart.accept(std::string(bytes, size)) ? 1 : 0;
  });
}
/** Fills `mask`. 1, or -1: an error. `cached` 0 computes it anew. */
API int matcher_mask(MatcherHandle* m, uint32_t* mask, int cached) {
  return guarded(-1, [&] {
    settle(*m);
    fill(*m, mask, cached != 0);
    return 1;
  });
}
/** A number for the place where it stands: equal numbers, equal masks. -1: an error. */
API int matcher_place(MatcherHandle* m) {
  return guarded(-1, [&] {
    settle(*m);
    return m->masks->automaton.name(m->chart, m->chart.key());
  });
}
/**
 * Fills `mask`, and `leads` with the place that each token leads to; 0: it is not allowed, or nobody knows. What a token counts beyond its
 * bytes may lead elsewhere: whoever took it asks `matcher_place`. 1, or -1: an error.
 */
API int matcher_leads(MatcherHandle* m, uint32_t* mask, int32_t* leads, int count) {
  return guarded(-1, [&] {
    settle(*m);
    std::memset(leads, 0, count * sizeof(int32_t));
    fill(*m, mask, false, leads);
    return 1;
  });
}
/** Leaves in text() what must come next, at most `most` bytes of it. */
API int matcher_forced(MatcherHandle* m, int most) {
  return guarded(0, [&] {
    settle(*m);
    text_ = m->chart.forced(most);
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
