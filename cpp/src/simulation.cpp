#include "ttbar/simulation.hpp"
