//! Items into chunks.

/// How large a chunk may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Items; at least 1.
    pub items: usize,
    /// Bytes, as the caller wrote the items. A single item may exceed it.
    pub bytes: usize,
}

/// Room that is made for a chunk's items when the first comes; more grows.
const USUAL_ITEMS: usize = 64;

/// Cuts a sequence of items into chunks, in order; the last, unfinished one is
/// kept until more items come or it is taken.
#[derive(Debug)]
pub struct Slicer<T> {
    shape: Shape,
    tail: Vec<T>,
    tail_bytes: usize,
}

impl<T> Slicer<T> {
    /// A slicer with an empty tail.
    pub fn new(shape: Shape) -> Self {
        Slicer {
            shape,
            tail: Vec::new(),
            tail_bytes: 0,
        }
    }

    /// Adds an item; returns the chunk that this finishes, if it does.
    pub fn push(&mut self, item: T, bytes: usize) -> Option<Vec<T>> {
        let finished = if !self.tail.is_empty() && self.tail_bytes + bytes > self.shape.bytes {
            self.take()
        } else {
            None
        };
        if self.tail.is_empty() {
            // At once, for a chunk of usual size, rather than by growing.
            self.tail.reserve(self.shape.items.min(USUAL_ITEMS));
        }
        self.tail.push(item);
        self.tail_bytes += bytes;
        if finished.is_none() && self.tail.len() >= self.shape.items {
            return self.take();
        }
        finished
    }

    /// Takes the tail, unless it is empty.
    pub fn take(&mut self) -> Option<Vec<T>> {
        self.tail_bytes = 0;
        let tail = std::mem::take(&mut self.tail);
        (!tail.is_empty()).then_some(tail)
    }

    /// Items in the tail.
    pub fn tail_len(&self) -> usize {
        self.tail.len()
    }

    /// Their bytes.
    pub fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes items of the given sizes and returns the sizes of each chunk.
    fn slice(items: usize, bytes: usize, sizes: &[usize]) -> Vec<Vec<usize>> {
        let mut slicer = Slicer::new(Shape { items, bytes });
        let mut chunks: Vec<_> = sizes
            .iter()
            .filter_map(|&size| slicer.push(size, size))
            .collect();
        chunks.extend(slicer.take());
        chunks
    }

    #[test]
    fn a_chunk_is_cut_at_its_items_and_at_its_bytes() {
        type Row<'a> = (usize, usize, &'a [usize], &'a [&'a [usize]]);
        let table: &[Row<'_>] = &[
            (3, 100, &[], &[]),
            (3, 100, &[1], &[&[1]]),
            (3, 100, &[1, 1, 1], &[&[1, 1, 1]]),
            (3, 100, &[1, 1, 1, 1], &[&[1, 1, 1], &[1]]),
            (3, 10, &[6, 4, 1], &[&[6, 4], &[1]]),
            (3, 10, &[6, 5, 5, 1], &[&[6], &[5, 5], &[1]]),
            // Larger than a chunk may be: alone in one.
            (3, 10, &[1, 50, 1], &[&[1], &[50], &[1]]),
            (1, 10, &[1, 50, 1], &[&[1], &[50], &[1]]),
        ];
        for (items, bytes, sizes, want) in table {
            assert_eq!(
                slice(*items, *bytes, sizes),
                *want,
                "{items} {bytes} {sizes:?}"
            );
        }
    }

    #[test]
    fn the_tail_is_taken_once() {
        let mut slicer = Slicer::new(Shape { items: 2, bytes: 9 });
        assert_eq!(slicer.push('a', 1), None);
        assert_eq!(slicer.tail_len(), 1);
        assert_eq!(slicer.take(), Some(vec!['a']));
        assert_eq!(slicer.take(), None);
        // And its bytes are not counted against the next.
        assert_eq!(slicer.push('b', 9), None);
        assert_eq!(slicer.take(), Some(vec!['b']));
    }
}
