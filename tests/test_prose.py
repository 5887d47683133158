"""What repeats by nature is no repetition; what runs in circles is, wherever it stands."""

from pyspark.sql import functions as F

from boostqa.prose import repeated_share, words_for_passages

# Texts of the sciences; what a model wrote that could not stop.
SOUND = {
    "truth table": "Show that $p \\to q$ is equivalent to $\\neg p \\lor q$ by comparing the columns below.\n\n| p | q | p -> q | not p or q |\n| --- | --- | --- | --- |\n| T | T | T | T |\n| T | F | F | F |\n| F | T | T | T |\n| F | F | T | T |\n\nThe last two columns agree in every row, so the formulas are equivalent.",
    "truth table plain": "We list all cases for three variables and read the value of the formula from the last column:\n\np q r  (p and q) or r\n"
    + "\n".join(f"{a} {b} {c}  {'T' if (a + b == 'TT' or c == 'T') else 'F'}" for a in "TF" for b in "TF" for c in "TF")
    + "\n\nThe formula is true in five of the eight cases.",
    "truth words": "The formula is a tautology because every row ends in true.\n\n"
    + "\n".join(f"{a} {b} {c} True" for a in ("True", "False") for b in ("True", "False") for c in ("True", "False")),
    "truth zh": "下面列出两个命题变元的所有取值，并由此判断公式是否为重言式。\n\n"
    + "\n".join(f"{a} {b} {c} 真" for a in "真假" for b in "真假" for c in "真假")
    + "\n\n每一行的结果都是真，因此该公式是重言式。",
    "csv truth": "The table of the adder circuit follows; read the carry from its last column.\n\n"
    + "\n".join(f"{a},{b},{c},{(a + b + c) % 2},{(a + b + c) // 2}" for a in (0, 1) for b in (0, 1) for c in (0, 1)),
    "matrix": "The matrix has only zeros below the diagonal:\n$$\\begin{pmatrix} 1 & 0 & 0 & 0 & 0 \\\\ 0 & 1 & 0 & 0 & 0 \\\\ 0 & 0 & 1 & 0 & 0 \\\\ 0 & 0 & 0 & 1 & 0 \\\\ 0 & 0 & 0 & 0 & 1 \\end{pmatrix}$$\nTherefore its determinant is the product of the diagonal entries, which is one.",
    "matrix plain": "Row reduction gives the following matrix, whose rank we then read off:\n\n"
    + "\n".join("0 0 0 0 0 0" for _ in range(6))
    + "\n\nEvery row vanishes and so the rank of the matrix is zero.",
    "matrix brackets": "Row reduction gives:\n[1, 0, 0, 0]\n[0, 1, 0, 0]\n[0, 0, 1, 0]\n[0, 0, 0, 1]\nwhich is the identity, so the system has exactly one solution for every right side.",
    "numpy": "The adjacency matrix is [[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]], which is symmetric because the graph is undirected.",
    "division": "Divide 1101011011 by 10011 and append the remainder.\n\n        1100001010\n10011 ) 11010110110000\n        10011\n        -----\n         10011\n         10011\n         -----\n          00001\n          00000\n          -----\n           00010\n           00000\n           -----\n            00101\n            00000\n            -----\n\nThe remainder is 1110.",
    "division zh": "用长除法计算二进制数的商，并给出最后的余数。\n\n"
    + "\n".join(["1101 ) 101101", "1101", "----", "0000", "0000", "----"] * 4)
    + "\n\n因此余数为零。",
    "division steps": "Step 1: 1011 - 1101 does not go, so bring down the next bit.\nStep 2: 10110 - 1101 = 1001, write 1.\nStep 3: 10010 - 1101 = 0101, write 1.\nStep 4: 1010 - 1101 does not go, write 0.\nStep 5: 10101 - 1101 = 1000, write 1.\nThe quotient is 1101.",
    "code": 'The loop runs once per row:\n```c\nfor (int i = 0; i < n; i++)\n  for (int j = 0; j < n; j++)\n    for (int k = 0; k < n; k++)\n      c[i][j] += a[i][k] * b[k][j];\nfor (int i = 0; i < n; i++)\n  for (int j = 0; j < n; j++)\n    printf("%d", c[i][j]);\n```\nIt therefore takes cubic time in the number of rows.',
    "dna": "The sequence is ATG ATG ATG CCC CCC CCC GGG and it codes for three methionines followed by three prolines and one glycine.",
    "binary text": "The code words are 000 000, 000 111, 111 000, 111 111 and the distance between any two of them is at least three, hence one error is corrected.",
    "align": "We expand step by step.\n\\begin{align}\n"
    + " \\\\\n".join(f"(x+1)^2 &= x^2 + 2x + 1 - {i}" for i in range(12))
    + "\n\\end{align}\nHence the claim follows for all real numbers.",
    "tabs": "The measured values are listed here and plotted later on.\n"
    + "\n".join(f"{i}\t0.0\t0.0\t1.0\t1.0" for i in range(12)),
    "numpy 8": "The identity is ["
    + ", ".join("[" + ", ".join(str(int(i == j)) for j in range(8)) + "]" for i in range(8))
    + "] and has determinant one in every field we consider here today.",
    "enumeration": "Case 1: x = 0, then y = 0. Case 2: x = 1, then y = 1. Case 3: x = 2, then y = 4. Case 4: x = 3, then y = 9. So y is the square of x in each of them.",
}
CIRCLES = {
    "answer loop": "the answer is 4. " * 12,
    "and so": "and so it goes on " * 10,
    "sentence loop": "First we compute the derivative of the function. "
    + "Then we check the sign of the derivative. " * 9,
    "paragraph loop": ("The block slides down the plane because gravity exceeds the friction.\n\n") * 5,
    "formula loop": "We get\n" + "$$x = 1$$\n" * 30,
    "inline loop": "Thus $x=1$ and " * 15,
    "digits loop": "The decimal is " + "1 2 3 " * 100,
    "matrix loop": "Row:\n" + "0 0 0 0\n" * 600,
    "numbers": "The sequence is 0, 1, 0, 1, " + "0, 1, " * 200,
    "zh loop": "答案是四。" * 15,
    "zh char": "哈" * 60,
    "table loop": "Here:\n| a | b |\n|---|---|\n" + "| the same row | again here |\n" * 60,
    "code loop": "x\n" + "```\nprint(1)\n```\nNext.\n" * 12,
    "unclosed formula": "So $$x = " + "\\frac{1}{2} + " * 60,
    "math text loop": "$$" + "x + y = z + x + y = " * 200 + "$$",
    "half loop": "Momentum is conserved in the collision because no external force acts on the two carts during the short time of contact. "
    + "So the speed is 2 m/s. " * 12,
}


def test_repeated_share_counts_prose_only_and_still_sees_circles(spark):
    texts = [{"name": name, "text": text} for cases in (SOUND, CIRCLES) for name, text in cases.items()]
    rows = spark.createDataFrame(texts, "name string, text string").select(
        "name", repeated_share(F.col("text")).alias("share")
    )
    shares = {r["name"]: r["share"] for r in rows.collect()}
    assert {name for name in SOUND if (shares[name] or 0) > 0.1} == set()
    assert {name for name in CIRCLES if (shares[name] or 0) < 0.7} == set()


def test_words_for_passages_equal_passages_are_equal_words_and_prose_stays(spark):
    texts = [
        "If $x=1$ then $y$ but $x=1$.",
        "It costs $5, not $6.",
        "First\n\n0 1\n1 0\nThen",
        "No passage.",
        None,
        "x " * 200000,
        "$$" * 9999,
    ]
    rows = spark.createDataFrame([{"text": t} for t in texts], "text string").select(
        words_for_passages(F.col("text")).alias("text")
    )
    got = [r["text"] and r["text"].split() for r in rows.collect()]
    assert got[0][0::2][:2] == ["If", "then"] and got[0][1] == got[0][5] != got[0][3]
    assert got[1] == texts[1].split() and got[3:5] == [texts[3].split(), None]
    assert (got[2][0], got[2][2], len(got[2])) == ("First", "Then", 3)
    assert len(got[5]) == 200000
