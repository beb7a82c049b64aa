//! Verdicts on histories: written by hand, drawn at random, and checked against all permutations.

mod agreement;
mod brute;
mod by_hand;
mod load;
mod windows;
