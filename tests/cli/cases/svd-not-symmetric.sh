eckart svd two.npz::right --symmetric
