//! The page on cost says what the table of prices says.

use irp_launch::price;

const PAGE: &str = include_str!("../../../docs/cost.md");

#[test]
fn each_type_costs_what_the_table_says() {
    assert!(PAGE.contains(&format!("as of {}", price::AS_OF)), "the page is of another month");
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, kind, alone, hour, month, _] = cells[..] else { return None };
        Some((kind.strip_prefix('`')?.strip_suffix('`')?, alone, hour, month))
    });
    let mut seen = 0;
    for (kind, alone, hour, month) in rows {
        assert_eq!(hour, format!("${:.4}", price::hour(kind).unwrap()), "{kind}");
        assert_eq!(month, format!("${:.2}", price::month(kind).unwrap()), "{kind}");
        // Address and disk cost the same for each.
        let rest = price::hour(kind).unwrap() - alone.trim_start_matches('$').parse::<f64>().unwrap();
        assert_eq!(format!("{rest:.4}"), "0.0059", "{kind}");
        seen += 1;
    }
    assert!(seen > 5, "the table is not found");
}

#[test]
fn the_example_adds_up() {
    let hour = price::hour(price::DEFAULT_TYPE).unwrap();
    for (hours, told) in [(10.0, "| a day | 10 |"), (210.0, "| a month of 21 such days | 210 |")] {
        let line = PAGE.lines().find(|line| line.starts_with(told)).unwrap();
        assert!(line.contains(&format!("${:.2}", hour * hours)), "{line}");
    }
    assert!(PAGE.contains(&format!("${:.2}**", hour * 210.0 + 0.5)));
    let month = price::month(price::DEFAULT_TYPE).unwrap();
    assert!(PAGE.contains(&format!("costs ${month:.2} a month")));
}
