#include "ttbar/root_errors.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace ttbar {

namespace {

/// @return message without the users and the parameters of addresses, among which passwords and tokens may be
std::string without_secrets(std::string message) {
    const std::string mask = "***";
    for (std::size_t at = message.find("://"); at != std::string::npos; at = message.find("://", at)) {
        at += 3;
        const std::size_t host_end = std::min(message.find_first_of("/?# \t\n'\"", at), message.size());
        const std::size_t user_end = message.rfind('@', host_end);
        if (user_end != std::string::npos && user_end > at && user_end < host_end)
            message.replace(at, user_end - at, mask);
        const std::size_t end = std::min(message.find_first_of(" \t\n'\"", at), message.size());
        const std::size_t parameters = std::min(message.find_first_of("?&#", at), end);
        if (parameters + 1 < end)
            message.replace(parameters + 1, end - parameters - 1, mask);
    }
    return message;
}

} // namespace

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
    const std::scoped_lock lock(mutex_);
    return count_;
}

std::string ErrorCollector::first() const {
    const std::scoped_lock lock(mutex_);
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
        const std::scoped_lock lock(collector->mutex_);
        if (collector->count_++ == 0) {
            collector->first_ = std::string(origin) + ": " + message;
            // A damaged file may say anything.
            std::replace_if(
                collector->first_.begin(), collector->first_.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
        }
    }
    if (forward != nullptr)
        forward(level, abort, location, without_secrets(message).c_str());
}

} // namespace ttbar
