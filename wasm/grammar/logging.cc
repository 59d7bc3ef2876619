#include "logging.h"

namespace xgrammar {

Message& Message::operator<<(std::string_view more) {
  text_ += more;
  return *this;
}

LogFatal::~LogFatal() noexcept(false) {
  throw LogFatalError(text_.empty() ? "the grammar engine found itself wrong" : text_);
}

}  // namespace xgrammar
