from tests.incidents_page import PAGE, SHOWN, page


def test_the_page_of_incidents_is_what_the_program_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_it_shows_twelve() -> None:
    assert len(SHOWN) == 12
