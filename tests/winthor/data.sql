-- Two branches that are asked for, one that is not.
INSERT INTO pcfilial (codigo, razaosocial) VALUES ('1', 'LOJA CENTRO'), ('2', 'DEPÓSITO SÃO JOÃO'), ('3', 'OUTRA');

-- 100 packs of 1, 6, 12 (fractions in branch 2); 200 twenty digits, a dozen only; 300 short; 400 not for e-commerce;
-- 500 without packaging; 600 with packagings that are none; 700 deleted; 800 two single packs; 900 without any date.
INSERT INTO pcprodut
    (codprod, codauxiliar, dtcadastro, dtultalter, dtexclusao, enviaecommerce, exibesemestoqueecommerce, revenda,
     tipomerc, codcategoria, codsubcategoria, codsec, codepto, codfornec)
VALUES
    (100, 7890000000017, TIMESTAMP '2019-05-01 00:00:00', TIMESTAMP '2021-01-01 00:00:00', NULL, 'S', NULL, 'S', 'L', 11, 21, 31, 41, 51),
    (200, 98765432109876543210, TIMESTAMP '2019-06-01 00:00:00', NULL, NULL, 'S', 'S', 'N', 'KT', 12, 22, 31, 41, 52),
    (300, 300000, TIMESTAMP '2019-07-01 00:00:00', NULL, NULL, 'S', 'N', NULL, 'PA', 11, 22, 32, 42, 51),
    (400, 400000, TIMESTAMP '2019-08-01 00:00:00', NULL, NULL, 'N', 'N', NULL, 'L', 11, 21, 31, 41, 51),
    (500, 500000, TIMESTAMP '2019-09-01 00:00:00', NULL, NULL, 'S', 'N', NULL, 'L', 11, 21, 31, 41, 51),
    (600, 600000, TIMESTAMP '2019-10-01 00:00:00', NULL, NULL, 'S', 'N', NULL, 'L', 11, 21, 31, 41, 51),
    (700, 700000, TIMESTAMP '2019-11-01 00:00:00', NULL, TIMESTAMP '2020-01-01 00:00:00', 'S', 'N', NULL, 'L', 11, 21, 31, 41, 51),
    (800, 800009, TIMESTAMP '2019-12-01 00:00:00', NULL, NULL, 'S', 'N', NULL, 'L', 11, 21, 31, 41, 51),
    (900, NULL, NULL, NULL, NULL, 'S', 'N', NULL, 'L', 13, 23, 33, 43, 53);

INSERT INTO pcest
    (codfilial, codprod, qtestger, qtreserv, qtbloqueada, qtpendente, dtprimcompra, dthoraultaltdisp)
VALUES
    ('1', 100, 130, 25, 5, 7, TIMESTAMP '2020-01-07 00:00:00', TIMESTAMP '2021-08-03 16:56:42'),
    ('2', 100, 10.75, NULL, NULL, NULL, NULL, TIMESTAMP '2021-08-03 16:56:41'),
    ('3', 100, 1000, 0, 0, 0, NULL, TIMESTAMP '2021-08-03 16:56:41'),
    ('1', 200, 100, 0, 0, 0, NULL, TIMESTAMP '2021-08-04 10:00:00'),
    ('1', 300, 3, 10, 0, 0, NULL, TIMESTAMP '2021-08-02 09:00:00'),
    ('1', 400, 40, 0, 0, 0, NULL, TIMESTAMP '2021-08-02 09:00:00'),
    ('1', 500, 50, 0, 0, 0, NULL, TIMESTAMP '2021-08-02 09:00:00'),
    ('1', 600, 60.12345678, 0, 0, 0, NULL, TIMESTAMP '2021-08-02 09:00:00'),
    ('1', 700, 70, 0, 0, 0, NULL, TIMESTAMP '2021-08-02 09:00:00'),
    ('1', 800, 25, 0, 0, 3, NULL, NULL),
    ('1', 900, 9, 0, 0, 0, NULL, NULL);

INSERT INTO pcembalagem (codauxiliar, codfilial, codprod, qtunit, fatorconversao, excluido, dtinativo, enviaecommerce)
VALUES
    (7890000000017, '1', 100, 1, 1, 'N', NULL, 'S'),
    (7890000000024, '1', 100, 6, 1, 'N', NULL, 'S'),
    (7890000000031, '1', 100, 12, 1, NULL, NULL, 'N'),
    (7890000000017, '2', 100, 1, 1, 'N', NULL, 'S'),
    (7890000000048, '2', 100, 2.5, 1, 'N', NULL, 'S'),
    (7890000000017, '3', 100, 1, 1, 'N', NULL, 'S'),
    (98765432109876543210, '1', 200, 12, 1, 'N', NULL, 'S'),
    (300000, '1', 300, 1, 1, 'N', NULL, 'S'),
    (300006, '1', 300, 6, 1, 'N', NULL, 'S'),
    (400000, '1', 400, 1, 1, 'N', NULL, 'S'),
    (600000, '1', 600, 1, 1, 'N', NULL, 'S'),
    (600001, '1', 600, 6, 1, 'S', NULL, 'S'),
    (600002, '1', 600, 0, 1, 'N', NULL, 'S'),
    (600003, '1', 600, NULL, 1, 'N', NULL, 'S'),
    (600004, '1', 600, 3, 1, 'N', TIMESTAMP '2021-01-01 00:00:00', 'S'),
    (700000, '1', 700, 1, 1, 'N', NULL, 'S'),
    (800001, '1', 800, 1, 1, 'N', NULL, 'S'),
    (800009, '1', 800, 1, 1, 'N', NULL, 'S'),
    (800016, '1', 800, 6, 1, 'N', NULL, 'S'),
    (900000, '1', 900, 1, 1, 'N', NULL, 'S');

INSERT INTO pcpedc (numped, codfilial, posicao, numpedmktplace, numpedcli) VALUES
    (9001, '1', 'L', '1500000000001-01', NULL),
    (9002, '1', 'P', '1500000000002-01', NULL),
    (9003, '1', 'C', '1500000000003-01', NULL),
    (9004, '1', 'F', '1500000000004-01', NULL),
    (9005, '1', 'M', '1500000000005-01', NULL),
    (9006, '2', 'B', '1500000000005-01', NULL),
    (9007, '1', 'L', NULL, 'V-7'),
    (9008, '1', 'L', '1500000000008-01', NULL),
    (9009, '1', 'C', '1500000000008-01', NULL);
INSERT INTO pcpedi (numped, numseq, codprod, qt, codfilialretira) VALUES
    (9001, 1, 100, 12, NULL),
    (9001, 2, 100, 1.5, NULL),
    (9001, 3, 200, 12, '2'),
    (9002, 1, 100, 6, NULL),
    (9003, 1, 100, 6, NULL),
    (9004, 1, 300, 1, '2'),
    (9005, 1, 100, 6, NULL),
    (9006, 1, 100, 6, NULL),
    (9007, 1, 100, 2, NULL),
    (9008, 1, 100, 3, NULL),
    (9009, 1, 100, 99, NULL);
