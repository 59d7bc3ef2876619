// In place of XGrammar's support/logging.h: the build includes this first, and its guard is that file's. What is wrong is thrown
// as a message; what would be logged is not said. A stream at each of hundreds of checks would take much of the engine's size.
#pragma once
#define XGRAMMAR_SUPPORT_LOGGING_H_

#include <iomanip>  // its includer needs it
#include <iosfwd>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace xgrammar {

class LogFatalError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Message {
 public:
  Message& operator<<(std::string_view more);
  Message& operator<<(const std::string& more) { return *this << std::string_view(more); }
  Message& operator<<(const char* more) { return *this << std::string_view(more); }
  Message& operator<<(char more) { return *this << std::string_view(&more, 1); }
  Message& operator<<(std::ostream& (*)(std::ostream&)) { return *this; }
  /** Numbers; other things are said to developers alone. */
  template <typename T>
  Message& operator<<(const T& more) {
    if constexpr (std::is_arithmetic_v<T>) return *this << std::to_string(more);
    return *this;
  }

 protected:
  std::string text_;
};

/** Is thrown where its statement ends. */
class LogFatal : public Message {
 public:
  Message& message() { return *this; }
  [[noreturn]] ~LogFatal() noexcept(false);
};

}  // namespace xgrammar

#define XGRAMMAR_LOG_FATAL xgrammar::LogFatal().message()
#define XGRAMMAR_LOG_INFO \
  while (false) xgrammar::Message()
#define XGRAMMAR_LOG_DEBUG XGRAMMAR_LOG_INFO
#define XGRAMMAR_LOG_WARNING XGRAMMAR_LOG_INFO
#define XGRAMMAR_LOG(level) XGRAMMAR_LOG_##level

#define XGRAMMAR_CHECK(x) \
  if (!(x)) xgrammar::LogFatal().message()
#define XGRAMMAR_ICHECK(x) XGRAMMAR_CHECK(x)
#define XGRAMMAR_DCHECK(x) \
  while (false) XGRAMMAR_CHECK(x)
