//! The keys of items, in memory.

use super::super::rows::{Done, KeyOf, KeyRow, KeyRows};
use super::Tables;

impl KeyRows for Tables {
    fn key(&mut self, of: &KeyOf) -> Done<Option<KeyRow>> {
        Ok(self.keys.get(of).cloned())
    }

    fn put_key(&mut self, of: &KeyOf, row: KeyRow) -> Done<()> {
        self.keys.insert(of.clone(), row);
        Ok(())
    }

    fn remove_key(&mut self, of: &KeyOf) -> Done<()> {
        self.keys.remove(of);
        Ok(())
    }

    fn remove_keys(&mut self, before_ms: i64, max: usize) -> Done<usize> {
        let is_old = |row: &KeyRow| {
            let kept = row.kept.as_ref();
            kept.is_some_and(|kept| kept.done_ms < before_ms)
        };
        let old = self.keys.iter().filter(|(_, row)| is_old(row));
        let old: Vec<KeyOf> = old.take(max).map(|(of, _)| of.clone()).collect();
        for of in &old {
            self.keys.remove(of);
        }
        Ok(old.len())
    }
}
