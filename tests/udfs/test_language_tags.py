import pytest

from udfs.language_tags import language


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        (["en", "EN", " en ", "eng", "eng_Latn", "en-GB", "en_US.UTF-8", "English", "english", '["en"]', "英语"], "en"),
        (["zh", "zho_Hans", "cmn_Hani", "zh-TW", "zh_cn", "chi", "中文", "Chinese (Simplified)", "Mandarin"], "zh"),
        (["iw", "heb"], "he"),
        (["tl"], "tl"),  # as the identifier calls it
        (["arb_Arab"], "ar"),
        (["nb", "nob"], "nb"),
        (["yue", "yue_Hant"], "yue"),
        (["nan_Hant"], "nan"),
        (["", "und", "und_Latn", "mul", "zxx", "mis", "xx", "unk", "nan", "unknown", "N/A", "None", "*"], None),
        (["python", "en,zh", "\0", "x" * 5000, '["en", "zh"]', "x-klingon"], None),
    ],
)
def test_language_of_tags_locales_and_names(tags, code):
    assert {tag: language(tag) for tag in tags} == dict.fromkeys(tags, code)
