#include <ttbar/jet_assignment.hpp>
#include <ttbar/observables.hpp>

#include <iostream>

int main() {
    std::cout << ttbar::scalar_sum({40.f, 50.f}, {1., 2.}, {0, 1}) << "\n";
    return 0;
}
