#include "ttbar/root_errors.hpp"

#include <algorithm>

namespace ttbar {

ErrorCollector* ErrorCollector::s_current = nullptr;

ErrorCollector::ErrorCollector() : m_outer(s_current) {
    s_current = this;
    m_previous = SetErrorHandler(&ErrorCollector::handle);
}

ErrorCollector::~ErrorCollector() {
    stop();
}

void ErrorCollector::stop() {
    if (m_stopped)
        return;
    m_stopped = true;
    s_current = m_outer;
    SetErrorHandler(m_previous);
}

std::size_t ErrorCollector::count() const {
    const std::lock_guard lock(m_mutex);
    return m_count;
}

std::string ErrorCollector::first() const {
    const std::lock_guard lock(m_mutex);
    return m_first;
}

void ErrorCollector::handle(int level, Bool_t abort, const char* location, const char* message) {
    // The handler of the innermost collector runs; its outer ones must hear of the message as well.
    ErrorHandlerFunc_t forward = nullptr;
    for (auto* collector = s_current; collector != nullptr; collector = collector->m_outer) {
        forward = collector->m_previous;
        if (level < kError)
            continue;
        const std::lock_guard lock(collector->m_mutex);
        if (collector->m_count++ == 0) {
            collector->m_first = std::string(location ? location : "ROOT") + ": " + message;
            // A damaged file may say anything.
            std::replace_if(
                collector->m_first.begin(), collector->m_first.end(),
                [](char c) { return c < ' ' || c > '~'; }, '?');
        }
    }
    if (forward != nullptr)
        forward(level, abort, location, message);
}

} // namespace ttbar
