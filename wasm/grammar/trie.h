// The bytes of all tokens as a tree, its nodes in the order of a walk, so that what follows a refused byte is skipped at once.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

/** Sixty-four kinds of bytes at most, as grammars tell them apart: letters are alike, marks are not. */
struct ByteKinds {
  std::array<uint8_t, 256> of{};

  constexpr ByteKinds() {
    constexpr const char* alike[] = {"09", "AF", "GZ", "af", "gz"};
    int kind = 0;
    for (int byte = 0; byte < 256; ++byte) {
      bool begins = byte == 0x20 || byte == 0x80 || byte == 0xc0 || byte == 0xe0 || byte == 0xf0;
      if (byte > 0x20 && byte < 0x80) {
        begins = true;
        for (const char* range : alike) begins = begins && !(byte > range[0] && byte <= range[1]);
      }
      kind += begins;
      of[byte] = static_cast<uint8_t>(kind);
    }
  }
};
inline constexpr ByteKinds kByteKinds;
static_assert(kByteKinds.of[255] < 64);

struct Trie {
  struct Node {
    uint64_t below;  // kinds of the bytes below this node
    uint32_t skip;   // the next node that isn't below this one
    uint32_t first;  // tokens that end here: ids[first] up to the next node's first
    uint16_t depth;  // bytes up to here
    uint8_t byte;
  };
  std::vector<Node> nodes;  // and a last one that only ends the ids
  std::vector<int32_t> ids;
  int depth = 0;

  /** @param tokens ids and bytes, by their bytes */
  explicit Trie(const std::vector<std::pair<int32_t, std::string>>& tokens) {
    std::vector<uint32_t> path;
    const std::string* before = nullptr;
    const auto close = [&](std::size_t depth) {
      for (; path.size() > depth; path.pop_back()) {
        const Node& node = nodes[path.back()];
        if (path.size() > 1)
          nodes[path[path.size() - 2]].below |= node.below | uint64_t{1} << kByteKinds.of[node.byte];
        nodes[path.back()].skip = static_cast<uint32_t>(nodes.size());
      }
    };
    for (const auto& [id, token] : tokens) {
      std::size_t shared = 0;
      while (before && shared < before->size() && shared < token.size() &&
             (*before)[shared] == token[shared])
        ++shared;
      close(shared);
      for (std::size_t at = shared; at < token.size(); ++at) {
        path.push_back(static_cast<uint32_t>(nodes.size()));
        const auto first = static_cast<uint32_t>(ids.size());
        nodes.push_back({0, 0, first, static_cast<uint16_t>(at + 1), static_cast<uint8_t>(token[at])});
      }
      ids.push_back(id);
      depth = std::max(depth, static_cast<int>(token.size()));
      before = &token;
    }
    close(0);
    nodes.push_back({0, 0, static_cast<uint32_t>(ids.size()), 0, 0});
  }
};
