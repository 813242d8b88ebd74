mkdir out && echo mine >out/thesis.tex
eckart compress model -o out --keep 0.4
