//! Transactions that have read what others wrote come after those; so none comes after itself.

use super::{Anomaly, Facts, Findings};
use std::collections::{HashMap, HashSet};

/// Takes away, again and again, the operations that have read of none that is left. What cannot be taken away leads
/// back into a circle.
pub fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut read_from = edges(facts);
    let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (reader, writers) in &read_from {
        writers.iter().for_each(|writer| readers.entry(*writer).or_default().push(*reader));
    }
    let mut free: Vec<usize> = readers.keys().filter(|it| !read_from.contains_key(it)).copied().collect();
    while let Some(writer) = free.pop() {
        for reader in readers.get(&writer).into_iter().flatten() {
            let left = read_from.get_mut(reader).map_or(0, |writers| {
                writers.remove(&writer);
                writers.len()
            });
            if left == 0 && read_from.remove(reader).is_some() {
                free.push(*reader);
            }
        }
    }
    if let Some(start) = read_from.keys().min() {
        findings.add(Anomaly::Circle, describe(&circle(*start, &read_from), facts));
    }
}

/// For each operation that writes and has read, whom it has read.
fn edges(facts: &Facts<'_>) -> HashMap<usize, HashSet<usize>> {
    let mut edges: HashMap<usize, HashSet<usize>> = HashMap::new();
    for (reader, operation) in facts.history.operations.iter().enumerate().filter(|(_, it)| !it.sent().is_empty()) {
        let writers = operation.seen().1.iter().filter_map(|seen| facts.writers.get(&seen.value).map(|(at, _)| *at));
        // Who reads itself is found elsewhere.
        let writers: HashSet<usize> = writers.filter(|writer| *writer != reader).collect();
        if !writers.is_empty() {
            edges.insert(reader, writers);
        }
    }
    edges
}

/// Goes back from a reader to whom it has read until it comes by a place again.
fn circle(start: usize, read_from: &HashMap<usize, HashSet<usize>>) -> Vec<usize> {
    let mut path = vec![start];
    loop {
        let last = path[path.len() - 1];
        let before = read_from[&last].iter().copied().filter(|writer| read_from.contains_key(writer)).min();
        let Some(before) = before else { return path };
        if let Some(at) = path.iter().position(|it| *it == before) {
            return path.split_off(at);
        }
        path.push(before);
    }
}

fn describe(circle: &[usize], facts: &Facts<'_>) -> String {
    let operations: Vec<_> = circle.iter().map(|at| &facts.history.operations[*at]).collect();
    format!("each has read the next one, the last one the first: {operations:?}")
}

#[cfg(test)]
mod tests {
    use super::super::Anomaly::Circle;
    use crate::history::made::{A, B, Made};
    use crate::history::model::Outcome::Done;

    #[test]
    fn two_transactions_have_read_each_other() {
        let history = || Made::new().reading(1, Done, &[(A, 0, 1)], &[(B, 0, 2)]).at(10, 100);
        history().reading(2, Done, &[(B, 0, 2)], &[(A, 0, 1)]).at(10, 100).finds(&[Circle]);
        // One of them has read the other.
        let history = Made::new().reading(1, Done, &[(A, 0, 1)], &[(B, 0, 2)]).at(10, 100);
        history.transaction(2, Done, &[(B, 0, 2)]).at(10, 50).poll(3, &[(A, 0, 1)]).at(200, 210).passes();
    }

    #[test]
    fn three_transactions_have_read_each_other_and_a_fourth_has_read_them() {
        let history = Made::new().reading(1, Done, &[(A, 0, 1)], &[(A, 2, 3)]).at(10, 100);
        let history = history.reading(2, Done, &[(A, 1, 2)], &[(A, 0, 1)]).at(10, 100);
        let history = history.reading(3, Done, &[(A, 2, 3)], &[(A, 1, 2)]).at(10, 100);
        let history = history.reading(4, Done, &[(A, 3, 4)], &[(A, 2, 3)]).at(110, 120);
        history.poll(5, &[(A, 3, 4)]).at(210, 220).finds(&[Circle]);
    }

    #[test]
    fn a_chain_is_no_circle() {
        let history = Made::new().transaction(1, Done, &[(A, 0, 1)]).reading(2, Done, &[(A, 1, 2)], &[(A, 0, 1)]);
        let history = history.reading(3, Done, &[(B, 0, 3)], &[(A, 0, 1), (A, 1, 2)]);
        history.poll(4, &[(A, 0, 1), (A, 1, 2), (B, 0, 3)]).passes();
    }
}
