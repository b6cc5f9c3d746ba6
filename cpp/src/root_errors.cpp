#include "ttbar/root_errors.hpp"

#include <algorithm>
#include <string_view>

namespace ttbar {

ErrorCollector* ErrorCollector::current_ = nullptr;

ErrorCollector::ErrorCollector() : outer_(current_) {
    current_ = this;
    previous_ = SetErrorHandler(&ErrorCollector::handle);
}

ErrorCollector::~ErrorCollector() {
    stop();
}

void ErrorCollector::stop() {
    if (stopped_)
        return;
    stopped_ = true;
    current_ = outer_;
    SetErrorHandler(previous_);
}

std::size_t ErrorCollector::count() const {
    const std::lock_guard lock(mutex_);
    return count_;
}

std::string ErrorCollector::first() const {
    const std::lock_guard lock(mutex_);
    return first_;
}

void ErrorCollector::handle(int level, Bool_t abort, const char* location, const char* message) {
    // The handler of the innermost collector runs; its outer ones must hear of the message as well.
    ErrorHandlerFunc_t forward = nullptr;
    const std::string_view origin = location ? location : "ROOT";
    const bool counts = level >= kError || (level >= kWarning && origin.rfind("TBasket::", 0) == 0);
    for (auto* collector = current_; collector != nullptr; collector = collector->outer_) {
        forward = collector->previous_;
        if (!counts)
            continue;
        const std::lock_guard lock(collector->mutex_);
        if (collector->count_++ == 0) {
            collector->first_ = std::string(origin) + ": " + message;
            // A damaged file may say anything.
            std::replace_if(
                collector->first_.begin(), collector->first_.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
        }
    }
    if (forward != nullptr)
        forward(level, abort, location, message);
}

} // namespace ttbar
