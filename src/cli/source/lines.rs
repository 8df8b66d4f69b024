//! Which line of a file an item began on, without keeping a number for each.

/// Line numbers by item. Items mostly follow each other line by line, so only
/// the places are kept where one does not.
#[derive(Debug, Default)]
pub struct Lines {
    /// From this item on, the line is the index plus so much.
    steps: Vec<(u32, u64)>,
}

impl Lines {
    /// Adds the next item's line.
    pub fn add(&mut self, index: u32, line: u64) {
        let ahead = line - u64::from(index);
        if self.steps.last().is_none_or(|(_, last)| *last != ahead) {
            self.steps.push((index, ahead));
        }
    }

    /// The line of an item; none where no lines are known.
    pub fn of(&self, index: u32) -> Option<u64> {
        let after = self.steps.partition_point(|(from, _)| *from <= index);
        let (_, ahead) = self.steps.get(after.checked_sub(1)?)?;
        Some(u64::from(index) + ahead)
    }

    /// Whether no lines are known.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_given_back_and_regular_ones_take_no_room() {
        let mut lines = Lines::default();
        let expected = [2, 3, 4, 7, 8, 8 + 2];
        for (index, line) in (0..).zip(expected) {
            lines.add(index, line);
        }
        for (index, line) in (0..).zip(expected) {
            assert_eq!(lines.of(index), Some(line));
        }
        assert_eq!(lines.steps.len(), 3);
        assert_eq!(Lines::default().of(3), None);
    }
}
