// The bytes of all tokens as a tree, its nodes in the order of a walk, so that what follows a refused byte is skipped at once.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

struct Trie {
  struct Node {
    uint32_t skip;   // the next node that isn't below this one
    uint32_t first;  // tokens that end here: ids[first] up to the next node's first
    uint16_t depth;  // bytes up to here
    uint8_t byte;
  };
  std::vector<Node> nodes;  // and a last one that only ends the ids
  std::vector<int32_t> ids;
  int depth = 0;

  /** Tokens without bytes are left out. */
  explicit Trie(const std::vector<std::string>& tokens) {
    for (int32_t id = 0; id < static_cast<int32_t>(tokens.size()); ++id)
      if (!tokens[id].empty()) ids.push_back(id);
    std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
      const int order = tokens[a].compare(tokens[b]);
      return order != 0 ? order < 0 : a < b;
    });
    std::vector<uint32_t> path;
    const std::string* before = nullptr;
    const auto close = [&](std::size_t depth) {
      for (; path.size() > depth; path.pop_back())
        nodes[path.back()].skip = static_cast<uint32_t>(nodes.size());
    };
    for (uint32_t i = 0; i < ids.size(); ++i) {
      const std::string& token = tokens[ids[i]];
      std::size_t shared = 0;
      while (before && shared < before->size() && shared < token.size() &&
             (*before)[shared] == token[shared])
        ++shared;
      close(shared);
      for (std::size_t at = shared; at < token.size(); ++at) {
        path.push_back(static_cast<uint32_t>(nodes.size()));
        nodes.push_back({0, i, static_cast<uint16_t>(at + 1), static_cast<uint8_t>(token[at])});
      }
      depth = std::max(depth, static_cast<int>(token.size()));
      before = &token;
    }
    close(0);
    nodes.push_back({0, static_cast<uint32_t>(ids.size()), 0, 0});
  }
};
