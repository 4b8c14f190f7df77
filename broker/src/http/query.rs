//! What a listing is asked for in its query: columns, order, page.
//!
//! `columns=name,message_stats.ack` keeps those fields; `sort=name&sort_reverse=true` orders;
//! `page=2&page_size=50&name=ord&use_regex=true` filters by name and wraps one page in its counts. Without
//! `page` the name, its kind and the page's size mean nothing, and the listing is a plain array.

use std::{cmp::Ordering, collections::HashMap};

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};
use tokio::task::yield_now;

use crate::{
    http::{HttpError, form},
    limits::{HTTP_TURN, PATTERN_BYTES_MAX, SAMPLES_PER_LISTING_MAX},
};

/// Items a page has when its size is not given.
const PAGE_SIZE: i64 = 100;
/// Items a page has at most.
const PAGE_SIZE_MAX: i64 = 500;
/// Names in one dotted column, so that no query makes a tree too deep to walk.
const COLUMN_DEPTH_MAX: usize = 8;
/// Memory for one compiled pattern, bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// The query of a listing.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    columns: Option<Columns>,
    /// A field, dots leading into objects.
    sort: Option<String>,
    is_reverse: bool,
    page: Option<Page>,
    /// Of each number of an object.
    samples: u64,
}

#[derive(Clone, Debug)]
struct Page {
    /// From 1.
    number: i64,
    size: i64,
    name: NameFilter,
}

#[derive(Clone, Debug)]
enum NameFilter {
    Everything,
    /// Lower case.
    Containing(String),
    Matching(Regex),
}

/// The wanted fields: each whole, or those within it.
#[derive(Clone, Debug, Default)]
struct Columns(HashMap<String, Columns>);

impl ListQuery {
    /// Reads a query string; of a repeated parameter the first counts.
    pub fn parse(query: &str) -> Result<Self, HttpError> {
        let mut parameters = HashMap::new();
        for pair in form::texts(query) {
            let (key, value) = pair?;
            parameters.entry(key).or_insert(value);
        }
        let text = |key: &str| parameters.get(key).map(String::as_str);
        Ok(Self {
            columns: text("columns").map(Columns::parse),
            sort: text("sort").map(str::to_owned),
            is_reverse: text("sort_reverse") == Some("true"),
            page: Page::parse(text)?,
            samples: samples(text),
        })
    }

    /// Whether the name filter lets an item of this name through: to leave out early what would be filtered.
    #[must_use]
    pub fn takes_name(&self, name: &str) -> bool {
        self.page.as_ref().is_none_or(|page| page.name.takes(name))
    }

    /// The listing of items that are only made where the query wants them: `view` makes one, with the fields that it
    /// is told are wanted. `order` is their usual one. The answer is JSON, written item by item: all objects of 100,000
    /// queues at once would take hundreds of megabytes. In between others get their turn on this thread.
    pub async fn list<T: Send + Sync>(
        &self,
        mut items: Vec<T>,
        order: impl Fn(&T, &T) -> Ordering + Send,
        name: impl Fn(&T) -> &str + Send,
        view: impl Fn(&T, &dyn Fn(&str) -> bool) -> Value + Send + Sync,
    ) -> Result<String, HttpError> {
        let total_count = items.len();
        items.retain(|item| self.takes_name(name(item)));
        match (&self.sort, &self.page) {
            (Some(sort), _) => {
                let root = sort.split('.').next().unwrap_or_default();
                let key = |item: &T| field(&view(item, &|name| name == root), sort).cloned();
                let mut keys = Vec::with_capacity(items.len());
                in_turns(&items, |item| keys.push(key(item))).await;
                let mut keyed: Vec<_> = keys.into_iter().zip(items).collect();
                keyed.sort_unstable_by(|(one, item), (other, other_item)| {
                    compare(one.as_ref(), other.as_ref()).then_with(|| order(item, other_item))
                });
                items = keyed.into_iter().map(|(_, item)| item).collect();
            }
            (None, Some(page)) if !self.is_reverse => page.put_in_order(&mut items, order),
            (None, _) => items.sort_unstable_by(order),
        }
        if self.is_reverse {
            items.reverse();
        }
        let wants = |name: &str| self.columns.as_ref().is_none_or(|columns| columns.0.contains_key(name));
        let written = |items| written(items, |item| self.select(view(item, &wants)));
        let Some(page) = &self.page else {
            self.check_samples(items.len())?;
            return Ok(written(items).await);
        };
        let filtered_count = items.len();
        let items = page.cut(items)?;
        self.check_samples(items.len())?;
        let counts = page.counts(total_count, filtered_count, items.len());
        Ok(with_items(&counts, &written(items).await))
    }

    /// Refuses answers that would be mostly samples.
    fn check_samples(&self, items: usize) -> Result<(), HttpError> {
        if self.samples.saturating_mul(items as u64) <= SAMPLES_PER_LISTING_MAX {
            return Ok(());
        }
        Err(HttpError::bad_request(format!(
            "{items} objects with {} samples of each number are too many; ask for smaller pages, a longer _incr or a \
             shorter _age",
            self.samples
        )))
    }

    /// The listing of items that have no pages (bindings, users, permissions, policies, consumers, nodes).
    #[must_use]
    pub fn apply_unpaged(&self, mut items: Vec<Value>) -> Value {
        self.put_in_order(&mut items);
        self.selected(items)
    }

    /// One object with the wanted fields.
    #[must_use]
    pub fn select(&self, item: Value) -> Value {
        match &self.columns {
            Some(columns) => columns.select(item),
            None => item,
        }
    }

    fn selected(&self, items: Vec<Value>) -> Value {
        items.into_iter().map(|item| self.select(item)).collect()
    }

    /// Equal items keep their order, or have it reversed with all others.
    fn put_in_order(&self, items: &mut [Value]) {
        if let Some(sort) = &self.sort {
            items.sort_by(|one, other| compare(field(one, sort), field(other, sort)));
        }
        if self.is_reverse {
            items.reverse();
        }
    }
}

/// How many samples of each number the query asks for (see [`Request::ranges`](super::request::Request::ranges)).
fn samples<'a>(text: impl Fn(&str) -> Option<&'a str>) -> u64 {
    let number = |name: String| text(&name)?.parse::<u64>().ok();
    let of = |kind: &str| number(format!("{kind}_age"))?.checked_div(number(format!("{kind}_incr"))?);
    ["lengths", "msg_rates", "data_rates", "node_stats"]
        .into_iter()
        .filter_map(of)
        .fold(0, u64::saturating_add)
}

impl Page {
    fn parse<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Self>, HttpError> {
        let integer = |text: &str| text.parse::<i64>().map_err(|_| invalid_pagination());
        let Some(number) = text("page").map(integer).transpose()? else { return Ok(None) };
        let asked_size = text("page_size").map(integer).transpose()?;
        let size = asked_size.unwrap_or(PAGE_SIZE);
        if number < 1 || !(1..=PAGE_SIZE_MAX).contains(&size) {
            return Err(HttpError::InvalidPage { page: number, page_size: asked_size });
        }
        let name = match text("name").unwrap_or_default() {
            "" => NameFilter::Everything,
            pattern if text("use_regex") == Some("true") => NameFilter::Matching(compile(pattern)?),
            part => NameFilter::Containing(part.to_lowercase()),
        };
        Ok(Some(Self { number, size, name }))
    }

    fn count_of(&self, items: usize) -> usize {
        items.div_ceil(self.items_max())
    }

    /// Puts the items up to the page's end in their places; of what is behind nothing is shown.
    fn put_in_order<T>(&self, items: &mut [T], order: impl Fn(&T, &T) -> Ordering) {
        let pages = usize::try_from(self.number).unwrap_or(usize::MAX);
        let end = pages.saturating_mul(self.items_max());
        let shown = match end < items.len() {
            true => items.select_nth_unstable_by(end, &order).0,
            false => items,
        };
        shown.sort_unstable_by(order);
    }

    /// What stands before the page's items.
    fn counts(&self, total_count: usize, filtered_count: usize, item_count: usize) -> Value {
        json!({
            "total_count": total_count,
            "item_count": item_count,
            "filtered_count": filtered_count,
            "page": self.number,
            "page_size": self.size,
            "page_count": self.count_of(filtered_count),
        })
    }

    /// The first page is there even when nothing is on it.
    fn cut<T>(&self, items: Vec<T>) -> Result<Vec<T>, HttpError> {
        let (count, size) = (items.len(), self.items_max());
        let before = usize::try_from(self.number - 1).ok().and_then(|pages| pages.checked_mul(size));
        match before {
            Some(before) if before == 0 || before < count => {
                Ok(items.into_iter().skip(before).take(size).collect())
            }
            _ => Err(HttpError::PageOutOfRange { page: self.number, page_size: self.size, count }),
        }
    }

    fn items_max(&self) -> usize {
        // From 1 to 500, checked when parsed.
        usize::try_from(self.size).unwrap_or(1)
    }
}

impl NameFilter {
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Containing(part) => name.to_lowercase().contains(part),
            Self::Matching(pattern) => pattern.is_match(name),
        }
    }
}

impl Columns {
    fn parse(text: &str) -> Self {
        let mut columns = Self::default();
        for column in text.split(',').filter(|column| !column.is_empty()) {
            columns.add(column);
        }
        columns
    }

    /// A field that is wanted whole has no columns within; `a` and `a.b` together mean all of `a`.
    fn add(&mut self, column: &str) {
        let mut columns = self;
        let mut names = column.splitn(COLUMN_DEPTH_MAX, '.').peekable();
        while let Some(name) = names.next() {
            let is_known_whole = columns.0.get(name).is_some_and(|within| within.0.is_empty());
            columns = columns.0.entry(name.to_owned()).or_default();
            if is_known_whole {
                return;
            }
            if names.peek().is_none() {
                columns.0.clear();
            }
        }
    }

    fn select(&self, value: Value) -> Value {
        match value {
            Value::Object(object) => Value::Object(self.select_fields(object)),
            Value::Array(array) => array.into_iter().map(|item| self.select(item)).collect(),
            other => other,
        }
    }

    fn select_fields(&self, object: Map<String, Value>) -> Map<String, Value> {
        let mut selected = Map::new();
        for (key, value) in object {
            if let Some(within) = self.0.get(&key) {
                let value = if within.0.is_empty() { value } else { within.select(value) };
                selected.insert(key, value);
            }
        }
        selected
    }
}

/// What `view` makes of the items, as a JSON array.
async fn written<T: Sync>(items: Vec<T>, view: impl Fn(&T) -> Value) -> String {
    let mut text = String::from("[");
    let write = |item: &T| {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&view(item).to_string());
    };
    in_turns(&items, write).await;
    text.push(']');
    text
}

/// An object with one more field, `items`, which is JSON already.
fn with_items(object: &Value, items: &str) -> String {
    let object = object.to_string();
    format!("{},\"items\":{items}}}", object.strip_suffix('}').unwrap_or(&object))
}

/// Does something with each item. In between others get their turn on this thread.
async fn in_turns<T: Sync>(items: &[T], mut each: impl FnMut(&T)) {
    for turn in items.chunks(HTTP_TURN) {
        turn.iter().for_each(&mut each);
        yield_now().await;
    }
}

fn invalid_pagination() -> HttpError {
    HttpError::bad_request("Pagination parameters are invalid")
}

/// The engine takes time linear in the name's length, whatever the pattern.
fn compile(pattern: &str) -> Result<Regex, HttpError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(invalid_pagination());
    }
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(true).size_limit(PATTERN_SIZE_MAX).build().map_err(|_| invalid_pagination())
}

fn field<'a>(item: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(item, |value, name| value.get(name))
}

/// RabbitMQ's order, that of Erlang terms: numbers, then false, null and true, objects, arrays, texts. A
/// field that is not there counts as 0.
fn compare(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    let zero = Value::from(0);
    compare_values(one.unwrap_or(&zero), other.unwrap_or(&zero))
}

fn compare_values(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => one.as_f64().unwrap_or(f64::MAX).total_cmp(&other.as_f64().unwrap_or(f64::MAX)),
        },
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Array(one), Value::Array(other)) => {
            compare_all(one.iter().zip(other)).then(one.len().cmp(&other.len()))
        }
        (Value::Object(one), Value::Object(other)) => one
            .len()
            .cmp(&other.len())
            .then_with(|| one.keys().cmp(other.keys()))
            .then_with(|| compare_all(one.values().zip(other.values()))),
        _ => rank(one).cmp(&rank(other)),
    }
}

fn compare_all<'a>(mut pairs: impl Iterator<Item = (&'a Value, &'a Value)>) -> Ordering {
    pairs
        .find_map(|(one, other)| Some(compare_values(one, other)).filter(|order| order.is_ne()))
        .unwrap_or(Ordering::Equal)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::Bool(false) => 1,
        Value::Null => 2,
        Value::Bool(true) => 3,
        Value::Object(_) => 4,
        Value::Array(_) => 5,
        Value::String(_) => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Value> {
        ["auto", "l-Qd", "l-qa", "l-qb", "l-x1", "q1"]
            .map(|name| json!({"name": name, "vhost": "v"}))
            .to_vec()
    }

    fn list(query: &str, items: Vec<Value>) -> Result<Value, HttpError> {
        list_with(&ListQuery::parse(query)?, items)
    }

    fn list_with(query: &ListQuery, items: Vec<Value>) -> Result<Value, HttpError> {
        let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
        let named: Vec<_> =
            items.into_iter().enumerate().map(|(place, item)| (place, name(&item), item)).collect();
        let order = |(one, ..): &(usize, String, Value), (other, ..): &(usize, String, Value)| one.cmp(other);
        let list = query.list(named, order, |(_, name, _)| name, |(.., item), wants| only(item, wants));
        block_on(list).map(|text| serde_json::from_str(&text).unwrap())
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn only(item: &Value, wants: &dyn Fn(&str) -> bool) -> Value {
        let fields = item.as_object().unwrap().iter().filter(|(name, _)| wants(name));
        Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn names(query: &str) -> Vec<String> {
        let listing = list(query, items()).unwrap();
        let items = listing.get("items").unwrap_or(&listing).as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn listings_are_not_mostly_samples() {
        let sampled = |items: usize, query: &str| {
            list(query, vec![json!({"name": "q"}); items]).map(|_| ()).map_err(|error| format!("{error:?}"))
        };
        assert_eq!(sampled(100, "lengths_age=300&lengths_incr=3"), Ok(()));
        assert_eq!(sampled(400, "page=1&page_size=100&lengths_age=300&lengths_incr=3"), Ok(()));
        for query in ["lengths_age=300&lengths_incr=2", "msg_rates_age=99999999999&msg_rates_incr=1"] {
            assert!(sampled(100, query).unwrap_err().contains("are too many"), "{query}");
        }
        assert_eq!(sampled(100, "lengths_age=300&lengths_incr=0"), Ok(()));
    }

    #[test]
    fn columns_keep_fields_and_fields_within() {
        let item =
            json!({"name": "q", "arguments": {"x": 2, "y": 3}, "deliveries": [{"a": 1, "b": 2}], "z": 1});
        for (query, expected) in [
            ("", item.clone()),
            ("columns=name", json!({"name": "q"})),
            ("columns=name,nope", json!({"name": "q"})),
            ("columns=name%2Cz", json!({"name": "q", "z": 1})),
            ("columns=arguments.x", json!({"arguments": {"x": 2}})),
            ("columns=arguments.nope", json!({"arguments": {}})),
            ("columns=arguments.x,arguments", json!({"arguments": {"x": 2, "y": 3}})),
            ("columns=arguments,arguments.x", json!({"arguments": {"x": 2, "y": 3}})),
            ("columns=arguments.x,arguments.y", json!({"arguments": {"x": 2, "y": 3}})),
            ("columns=deliveries.a", json!({"deliveries": [{"a": 1}]})),
            ("columns=name&columns=z", json!({"name": "q"})),
            ("columns=", json!({})),
        ] {
            let query_value = ListQuery::parse(query).unwrap();
            assert_eq!(query_value.select(item.clone()), expected, "{query}");
            assert_eq!(list_with(&query_value, vec![item.clone()]), Ok(json!([expected])), "{query}");
        }
    }

    #[test]
    fn columns_of_any_depth_are_harmless() {
        let query = ListQuery::parse(&format!("columns={}", "a.".repeat(100_000))).unwrap();
        assert_eq!(query.select(json!({"a": {"a": 1}, "b": 2})), json!({"a": {"a": 1}}));
    }

    #[test]
    fn order_is_that_of_erlang_terms_and_absent_is_zero() {
        let values = [json!(0), json!(-5), json!(1.5), json!(true), json!("s"), json!([1]), json!({"a": 1})];
        let mut items: Vec<Value> = values.iter().map(|value| json!({"k": {"v": value}})).collect();
        items.extend([
            json!({}),
            json!({"k": {"v": false}}),
            json!({"k": {"v": "S"}}),
            json!({"k": {"v": null}}),
        ]);
        let sorted = list("sort=k.v", items).unwrap();
        let shown: Vec<Value> = sorted
            .as_array()
            .unwrap()
            .iter()
            .map(|item| field(item, "k.v").cloned().unwrap_or(json!("absent")))
            .collect();
        let expected = json!([-5, 0, "absent", 1.5, false, null, true, {"a": 1}, [1], "S", "s"]);
        assert_eq!(Value::from(shown), expected);
    }

    #[test]
    fn reverse_turns_the_whole_listing() {
        assert_eq!(names("sort=name"), ["auto", "l-Qd", "l-qa", "l-qb", "l-x1", "q1"]);
        let reversed = ["q1", "l-x1", "l-qb", "l-qa", "l-Qd", "auto"];
        for query in ["sort=name&sort_reverse=true", "sort_reverse=true", "sort=nope&sort_reverse=true"] {
            assert_eq!(names(query), reversed, "{query}");
        }
        assert_eq!(names("sort_reverse=1")[0], "auto");
        assert_eq!(names("page=1&page_size=2&sort=name&sort_reverse=true"), ["q1", "l-x1"]);
    }

    #[test]
    fn page_is_wrapped_in_its_counts() {
        let expected = json!({
            "total_count": 6, "item_count": 2, "filtered_count": 6, "page": 2, "page_size": 2, "page_count": 3,
            "items": [{"name": "l-qa"}, {"name": "l-qb"}]
        });
        assert_eq!(list("columns=name&page=2&page_size=2", items()), Ok(expected));
        let expected = json!({
            "total_count": 6, "item_count": 0, "filtered_count": 0, "page": 1, "page_size": 100, "page_count": 0,
            "items": []
        });
        assert_eq!(list("page=1&name=nomatch", items()), Ok(expected));
        assert!(list("page_size=2&pagination=true&name=x", items()).unwrap().is_array());
        assert!(list("page=1&pagination=false", items()).unwrap().is_object());
        assert_eq!(list("page=1", Vec::new()).unwrap()["page_count"], 0);
    }

    #[test]
    fn only_what_is_wanted_is_made() {
        let made = std::sync::Mutex::new(Vec::new());
        let query = "page=2&page_size=2&columns=z&sort=k.v";
        let items: Vec<u64> = (0..9).rev().collect();
        let view = |item: &u64, wants: &dyn Fn(&str) -> bool| {
            made.lock().unwrap().push((*item, ["k", "z"].map(wants)));
            json!({"k": {"v": item}, "z": item * 10})
        };
        let query = ListQuery::parse(query).unwrap();
        let page = block_on(query.list(items, |one, other| other.cmp(one), |_| "", view)).unwrap();
        let page: Value = serde_json::from_str(&page).unwrap();
        assert_eq!(page["items"], json!([{"z": 20}, {"z": 30}]));
        let made = made.into_inner().unwrap();
        assert!(made[..9].iter().all(|(_, wanted)| *wanted == [true, false]));
        assert_eq!(made[9..], [(2, [false, true]), (3, [false, true])]);
    }

    #[test]
    fn pages_outside_the_limits_are_refused() {
        for query in ["page=x", "page=", "page=1&page_size=x", "page=1&name=(&use_regex=true"] {
            let expected = HttpError::bad_request("Pagination parameters are invalid");
            assert_eq!(list(query, items()), Err(expected), "{query}");
        }
        for (query, page, page_size) in [
            ("page=0", 0, None),
            ("page=-1", -1, None),
            ("page=1&page_size=0", 1, Some(0)),
            ("page=1&page_size=501", 1, Some(501)),
        ] {
            assert_eq!(list(query, items()), Err(HttpError::InvalidPage { page, page_size }), "{query}");
        }
        let out_of_range = HttpError::PageOutOfRange { page: 4, page_size: 2, count: 6 };
        assert_eq!(list("page=4&page_size=2", items()), Err(out_of_range));
        assert!(list(&format!("page={}", i64::MAX), items()).is_err());
        assert_eq!(list("page=1&page_size=500", items()).unwrap()["item_count"], 6);
    }

    #[test]
    fn unpaged_listings_ignore_the_page() {
        let query = ListQuery::parse("page=7&page_size=1&columns=name&sort_reverse=true").unwrap();
        let listing = query.apply_unpaged(items());
        assert_eq!((listing.as_array().unwrap().len(), &listing[0]), (6, &json!({"name": "q1"})));
    }
}
